/**
 * KMS's operations as they are sent: tags as a list, policies as JSON text; and how permission for each is asked about. What
 * they do is in `domain/operations.ts`.
 */
import {
  CancelKeyDeletionCommand,
  CreateAliasCommand,
  type CreateAliasCommandInput,
  CreateKeyCommand,
  type CreateKeyCommandInput,
  type CreateKeyCommandOutput,
  DeleteAliasCommand,
  type DeleteAliasCommandInput,
  DescribeKeyCommand,
  DisableKeyCommand,
  DisableKeyRotationCommand,
  EnableKeyCommand,
  EnableKeyRotationCommand,
  type EnableKeyRotationCommandInput,
  GetKeyPolicyCommand,
  GetKeyRotationStatusCommand,
  type KeySpec,
  type KeyUsageType,
  type KMSClient,
  ListAliasesCommand,
  ListGrantsCommand,
  ListKeyRotationsCommand,
  ListKeysCommand,
  ListResourceTagsCommand,
  PutKeyPolicyCommand,
  type PutKeyPolicyCommandInput,
  ReplicateKeyCommand,
  type ReplicateKeyCommandInput,
  type ReplicateKeyCommandOutput,
  RetireGrantCommand,
  type RetireGrantCommandInput,
  RevokeGrantCommand,
  type RevokeGrantCommandInput,
  RotateKeyOnDemandCommand,
  ScheduleKeyDeletionCommand,
  type ScheduleKeyDeletionCommandInput,
  type Tag,
  TagResourceCommand,
  type TagResourceCommandInput,
  UntagResourceCommand,
  type UntagResourceCommandInput,
  UpdateAliasCommand,
  type UpdateAliasCommandInput,
  UpdateKeyDescriptionCommand,
  type UpdateKeyDescriptionCommandInput,
  UpdatePrimaryRegionCommand,
  type UpdatePrimaryRegionCommandInput,
} from '@aws-sdk/client-kms';
import {
  type MakingStep,
  type OperationName,
  operationNames,
  type ParametersOf,
  type ReadName,
  readTable,
  type Step,
} from '../domain/operations.ts';
import type { PolicyDocument, Tags } from '../domain/values.ts';

type Write<Parameters, Input, Output = object> = {
  /** What is sent. @param KeyId of the key that it is for; CreateKey has none. */
  input(KeyId: string, parameters: Parameters): Input;
  send(client: KMSClient, input: Input): Promise<Output>;
  /** What is sent for a key that does not exist, to see whether it may be. @param owned the ownership tag. */
  probe(KeyId: string, owned: Tag): Input;
  /** Whether KMS answers with the key that it was for; else it answers nothing. */
  namesKey?: true;
};

/** An operation that is told nothing but the key. */
function plain(send: Write<unknown, { KeyId: string }>['send']): Write<unknown, { KeyId: string }> {
  const input = (KeyId: string) => ({ KeyId });
  return { input, send, probe: input };
}

function write<Name extends OperationName, Input, Output = object>(entry: Write<ParametersOf<Name>, Input, Output>) {
  return entry;
}

// Some take a usage that a spec does not have. There is no key to be made of a spec that is none.
const none = 'NONE' as KeySpec;
/** The form of an id of a grant, of which there is none. */
const noGrant = '0'.repeat(64);

/** A name that nobody has. @param keyId that no key has. */
const noAlias = (keyId: string) => `alias/keyward-asks-${keyId}`;

const writeTable = {
  CreateKey: write<'CreateKey', CreateKeyCommandInput, CreateKeyCommandOutput>({
    input: (_none, parameters) => asSent(parameters),
    send: (client, input) => client.send(new CreateKeyCommand(input)),
    probe: (_none, owned) => ({
      KeyUsage: none as string as KeyUsageType,
      KeySpec: none,
      Policy: 'none',
      Tags: [owned],
    }),
  }),
  ReplicateKey: write<'ReplicateKey', ReplicateKeyCommandInput, ReplicateKeyCommandOutput>({
    // The key that it is for is the primary: the replica does not exist yet.
    input: (_none, parameters) => asSent(parameters),
    send: (client, input) => client.send(new ReplicateKeyCommand(input)),
    probe: (KeyId, owned) => ({ KeyId, ReplicaRegion: 'us-east-1', Policy: 'none', Tags: [owned] }),
  }),
  UpdatePrimaryRegion: write<'UpdatePrimaryRegion', UpdatePrimaryRegionCommandInput>({
    input: (KeyId, parameters) => ({ KeyId, ...parameters }),
    send: (client, input) => client.send(new UpdatePrimaryRegionCommand(input)),
    probe: (KeyId) => ({ KeyId, PrimaryRegion: 'us-east-1' }),
  }),
  TagResource: write<'TagResource', TagResourceCommandInput>({
    input: (KeyId, { Tags }) => ({ KeyId, Tags: toTagList(Tags) }),
    send: (client, input) => client.send(new TagResourceCommand(input)),
    probe: (KeyId, owned) => ({ KeyId, Tags: [owned] }),
  }),
  UntagResource: write<'UntagResource', UntagResourceCommandInput>({
    input: (KeyId, parameters) => ({ KeyId, ...parameters }),
    send: (client, input) => client.send(new UntagResourceCommand(input)),
    probe: (KeyId, { TagKey }) => ({ KeyId, TagKeys: TagKey === undefined ? [] : [TagKey] }),
  }),
  UpdateKeyDescription: write<'UpdateKeyDescription', UpdateKeyDescriptionCommandInput>({
    input: (KeyId, parameters) => ({ KeyId, ...parameters }),
    send: (client, input) => client.send(new UpdateKeyDescriptionCommand(input)),
    probe: (KeyId) => ({ KeyId, Description: '' }),
  }),
  EnableKey: plain((client, input) => client.send(new EnableKeyCommand(input))),
  DisableKey: plain((client, input) => client.send(new DisableKeyCommand(input))),
  EnableKeyRotation: write<'EnableKeyRotation', EnableKeyRotationCommandInput>({
    input: (KeyId, parameters) => ({ KeyId, ...parameters }),
    send: (client, input) => client.send(new EnableKeyRotationCommand(input)),
    probe: (KeyId) => ({ KeyId }),
  }),
  DisableKeyRotation: plain((client, input) => client.send(new DisableKeyRotationCommand(input))),
  RotateKeyOnDemand: {
    ...plain((client, input) => client.send(new RotateKeyOnDemandCommand(input))),
    namesKey: true,
  },
  RevokeGrant: write<'RevokeGrant', RevokeGrantCommandInput>({
    input: (KeyId, { GrantId }) => ({ KeyId, GrantId }),
    send: (client, input) => client.send(new RevokeGrantCommand(input)),
    probe: (KeyId) => ({ KeyId, GrantId: noGrant }),
  }),
  RetireGrant: write<'RetireGrant', RetireGrantCommandInput>({
    input: (KeyId, { GrantId }) => ({ KeyId, GrantId }),
    send: (client, input) => client.send(new RetireGrantCommand(input)),
    probe: (KeyId) => ({ KeyId, GrantId: noGrant }),
  }),
  PutKeyPolicy: write<'PutKeyPolicy', PutKeyPolicyCommandInput>({
    input: (KeyId, { Policy, BypassPolicyLockoutSafetyCheck }) => ({
      KeyId,
      Policy: JSON.stringify(Policy),
      BypassPolicyLockoutSafetyCheck,
      PolicyName: 'default',
    }),
    send: (client, input) => client.send(new PutKeyPolicyCommand(input)),
    probe: (KeyId) => ({ KeyId, Policy: '{}', PolicyName: 'default' }),
  }),
  CreateAlias: write<'CreateAlias', CreateAliasCommandInput>({
    input: (TargetKeyId, { AliasName }) => ({ AliasName, TargetKeyId }),
    send: (client, input) => client.send(new CreateAliasCommand(input)),
    probe: (TargetKeyId) => ({ AliasName: noAlias(TargetKeyId), TargetKeyId }),
  }),
  UpdateAlias: write<'UpdateAlias', UpdateAliasCommandInput>({
    input: (keyId, { AliasName, ToKeyId }) => ({ AliasName, TargetKeyId: ToKeyId ?? keyId }),
    send: (client, input) => client.send(new UpdateAliasCommand(input)),
    probe: (TargetKeyId) => ({ AliasName: noAlias(TargetKeyId), TargetKeyId }),
  }),
  DeleteAlias: write<'DeleteAlias', DeleteAliasCommandInput>({
    input: (_key, parameters) => parameters,
    send: (client, input) => client.send(new DeleteAliasCommand(input)),
    probe: (KeyId) => ({ AliasName: noAlias(KeyId) }),
  }),
  ScheduleKeyDeletion: write<'ScheduleKeyDeletion', ScheduleKeyDeletionCommandInput>({
    input: (KeyId, parameters) => ({ KeyId, ...parameters }),
    send: (client, input) => client.send(new ScheduleKeyDeletionCommand(input)),
    probe: (KeyId) => ({ KeyId }),
    namesKey: true,
  }),
  CancelKeyDeletion: {
    ...plain((client, input) => client.send(new CancelKeyDeletionCommand(input))),
    namesKey: true,
  },
} satisfies { [Name in OperationName]: Write<ParametersOf<Name>, unknown> };

function writeOf(name: OperationName): Write<unknown, unknown> {
  return writeTable[name] as Write<unknown, unknown>;
}

/**
 * What is sent with a step.
 * @param keyId of the key that it is for; CreateKey has none.
 */
export function parametersOf({ operation, parameters }: Step, keyId: string): Record<string, unknown> {
  return writeOf(operation).input(keyId, parameters) as Record<string, unknown>;
}

/** Sends CreateKey or ReplicateKey. */
export function sendCreation(client: KMSClient, step: MakingStep): Promise<object> {
  return sendUpdate(client, '', step);
}

/** Sends a step for a key that exists. */
export function sendUpdate(client: KMSClient, keyId: string, { operation, parameters }: Step): Promise<object> {
  const { input, send } = writeOf(operation);
  return send(client, input(keyId, parameters));
}

/** Whether KMS answers with the key that the operation was for; else it answers nothing. */
export function answersWithKey(operation: OperationName): boolean {
  return writeOf(operation).namesKey === true;
}

/**
 * Every operation, asked in a way that has no effect.
 * @param keyId that no key has.
 * @param owned the ownership tag, as Keyward makes and claims keys: a policy may allow it with that alone.
 */
export function probesOfWrites(keyId: string, owned: Tag) {
  return operationNames.map((operation) => {
    const { probe, send } = writeOf(operation);
    return { operation, send: (client: KMSClient): Promise<object> => send(client, probe(keyId, owned)) };
  });
}

const reads: { [Name in ReadName]: (client: KMSClient, KeyId: string) => Promise<object> } = {
  ListKeys: (client) => client.send(new ListKeysCommand({ Limit: 1 })),
  DescribeKey: (client, KeyId) => client.send(new DescribeKeyCommand({ KeyId })),
  GetKeyPolicy: (client, KeyId) => client.send(new GetKeyPolicyCommand({ KeyId, PolicyName: 'default' })),
  GetKeyRotationStatus: (client, KeyId) => client.send(new GetKeyRotationStatusCommand({ KeyId })),
  ListKeyRotations: (client, KeyId) => client.send(new ListKeyRotationsCommand({ KeyId, Limit: 1 })),
  ListGrants: (client, KeyId) => client.send(new ListGrantsCommand({ KeyId, Limit: 1 })),
  ListResourceTags: (client, KeyId) => client.send(new ListResourceTagsCommand({ KeyId, Limit: 1 })),
  ListAliases: (client) => client.send(new ListAliasesCommand({ Limit: 1 })),
};

/** Every read, for one key. Lists of keys and aliases are for none. */
export function probesOfReads(keyId: string) {
  const names = Object.keys(readTable) as ReadName[];
  return names.map((operation) => ({ operation, send: (client: KMSClient) => reads[operation](client, keyId) }));
}

/** What a key is made with. */
function asSent<Parameters extends { Policy?: PolicyDocument; Tags: Tags }>({ Policy, Tags, ...rest }: Parameters) {
  return { ...rest, Tags: toTagList(Tags), ...(Policy === undefined ? {} : { Policy: JSON.stringify(Policy) }) };
}

/** In the order of their names, so that the same tags make the same call: PostgreSQL keeps them in an order of its own. */
function toTagList(tags: Tags): Tag[] {
  const inOrder = Object.entries(tags).sort(([first], [second]) => (first < second ? -1 : 1));
  return inOrder.map(([TagKey, TagValue]) => ({ TagKey, TagValue }));
}

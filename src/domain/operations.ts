/**
 * KMS's write operations: what each takes, the fields that it changes and the key after it, its quota, and the argument that
 * its refusal is about. The steps of a plan, the journal, staleness, scope, quotas, documented errors and the list of permissions derive
 * from there; how it is sent is in `kms/operations.ts`, and the order in which it comes in the planner. Of reads, quotas and errors.
 */
import { withAlias, withoutAlias } from './aliases.ts';
import { type ArgumentName, type KeyArguments, notRotating, type ObservedKey } from './arguments.ts';
import { enabledIn, isPendingDeletion } from './key-state.ts';
import type { KeyState, PolicyDocument, Tags } from './values.ts';

/** Everything CreateKey can carry, so that one call makes the key and marks it as ours. */
export type CreateKeyParameters = {
  Description: string;
  KeyUsage: KeyArguments['key_usage'];
  KeySpec: KeyArguments['customer_master_key_spec'];
  Origin: 'AWS_KMS' | 'AWS_CLOUDHSM' | 'EXTERNAL_KEY_STORE';
  CustomKeyStoreId?: string;
  XksKeyId?: string;
  MultiRegion: boolean;
  Policy?: PolicyDocument;
  BypassPolicyLockoutSafetyCheck: boolean;
  /** With the ownership tag. */
  Tags: Tags;
};

/** Everything ReplicateKey can carry. It is sent to the Region of the primary key. */
export type ReplicateKeyParameters = Pick<
  CreateKeyParameters,
  'Description' | 'Policy' | 'BypassPolicyLockoutSafetyCheck' | 'Tags'
> & {
  /** Of the primary key, which is the replica's as well. */
  KeyId: string;
  ReplicaRegion: string;
};

type None = Record<string, never>;

/** The field a step serves: `is_enabled`, or the rotation change that a key must be enabled for. */
type EnablingField = 'is_enabled' | 'enable_key_rotation' | 'rotation_period_in_days';

/** By operation, what is sent with it, and the arguments that it may bring in line. */
type Writes = {
  CreateKey: { parameters: CreateKeyParameters; field: null };
  ReplicateKey: { parameters: ReplicateKeyParameters; field: null };
  UpdatePrimaryRegion: { parameters: { PrimaryRegion: string }; field: null };
  TagResource: { parameters: { Tags: Tags }; field: 'tags' };
  UntagResource: { parameters: { TagKeys: string[] }; field: 'tags' };
  UpdateKeyDescription: { parameters: { Description: string }; field: 'description' };
  EnableKey: { parameters: None; field: EnablingField };
  DisableKey: { parameters: None; field: EnablingField };
  EnableKeyRotation: {
    /** Without a period KMS leaves the one that there is, or takes its own. */
    parameters: { RotationPeriodInDays?: number };
    field: 'enable_key_rotation' | 'rotation_period_in_days';
  };
  DisableKeyRotation: { parameters: None; field: 'enable_key_rotation' };
  RotateKeyOnDemand: { parameters: None; field: null };
  RevokeGrant: { parameters: { GrantId: string }; field: null };
  RetireGrant: { parameters: { GrantId: string }; field: null };
  PutKeyPolicy: { parameters: { Policy: PolicyDocument; BypassPolicyLockoutSafetyCheck: boolean }; field: 'policy' };
  CreateAlias: { parameters: { AliasName: string }; field: 'aliases' };
  /** `FromKeyId`: which key it pointed at, as far as was seen. `ToKeyId`: the key that it goes back to; absent: it comes to this one. */
  UpdateAlias: { parameters: { AliasName: string; FromKeyId: string; ToKeyId?: string }; field: 'aliases' };
  DeleteAlias: { parameters: { AliasName: string }; field: 'aliases' };
  ScheduleKeyDeletion: { parameters: { PendingWindowInDays: number }; field: 'lifecycle' };
  CancelKeyDeletion: { parameters: None; field: 'lifecycle' };
};

export type OperationName = keyof Writes;
export type ParametersOf<Name extends OperationName> = Writes[Name]['parameters'];

/** One KMS call of a plan. `field` names the argument that it brings in line. */
export type Step = {
  [Name in OperationName]: { operation: Name; field: Writes[Name]['field']; parameters: ParametersOf<Name> };
}[OperationName];

/** A step that makes a key. */
export type MakingStep = Extract<Step, { operation: 'CreateKey' | 'ReplicateKey' }>;

/** The operations that make a key. */
export const makingOperations = ['CreateKey', 'ReplicateKey'] as const;

/** Whether an operation makes a key. */
export function makesKey(operation: string): boolean {
  return (makingOperations as readonly string[]).includes(operation);
}

/** The operations that are sent because somebody asked for them alone: nothing that is declared depends on them. */
export const errandNames = ['RotateKeyOnDemand', 'RevokeGrant', 'RetireGrant'] as const;
export type ErrandName = (typeof errandNames)[number];

export function isErrand(operation: string): boolean {
  return (errandNames as readonly string[]).includes(operation);
}

/** What KMS answers to a step. null: it does not say. @param deletion_date RFC 3339 */
export type Answered = { deletion_date: string | null; key_state: string | null };

type Operation<Parameters, Field = string | null> = {
  /** The fields of a key that it changes; none for a key that it makes. */
  changes: readonly (keyof ObservedKey)[];
  /** The key once it has been carried out, in the state that KMS documents for it. */
  after(key: ObservedKey, parameters: Parameters, answered: Answered): ObservedKey;
  /** Requests a second. Source: AWS KMS developer guide, "Request quotas". */
  quota: number;
  /** What KMS's refusal is about; null: the operation does not tell. */
  argument: Field extends ArgumentName ? Field : ArgumentName | null;
  /** What AWS documents as a refusal of it, without what is common to all. Source: AWS KMS API reference. */
  errors: readonly string[];
};

type Read = Pick<Operation<unknown>, 'quota' | 'errors'> & { isOfAccount?: true };

const noSuchKey = ['InvalidArnException', 'NotFoundException'];
const keyAndState = [...noSuchKey, 'KMSInvalidStateException'];
const aliasAndState = ['NotFoundException', 'KMSInvalidStateException'];
const rotationChange = [...keyAndState, 'DisabledException', 'UnsupportedOperationException'];

/** In the order in which permissions are asked about. */
export const operationTable: {
  [Name in OperationName]: Operation<ParametersOf<Name>, Writes[Name]['field']>;
} = {
  CreateKey: {
    changes: [],
    after: asMade,
    quota: 5,
    argument: null,
    errors: [
      'CloudHsmClusterInvalidConfigurationException',
      'CustomKeyStoreInvalidStateException',
      'CustomKeyStoreNotFoundException',
      'InvalidArnException',
      'LimitExceededException',
      'MalformedPolicyDocumentException',
      'TagException',
      'UnsupportedOperationException',
      'XksKeyAlreadyInUseException',
      'XksKeyInvalidConfigurationException',
      'XksKeyNotFoundException',
    ],
  },
  ReplicateKey: {
    changes: [],
    after: asMade,
    quota: 5,
    argument: null,
    errors: [
      ...keyAndState,
      'AlreadyExistsException',
      'DisabledException',
      'LimitExceededException',
      'MalformedPolicyDocumentException',
      'TagException',
      'UnsupportedOperationException',
    ],
  },
  UpdatePrimaryRegion: {
    changes: ['primary_arn', 'replica_arns'],
    // The key that is to be the primary is the one that the step is for.
    after: (key) => ({
      ...key,
      primary_arn: key.arn,
      replica_arns: [...key.replica_arns, ...(key.primary_arn === null ? [] : [key.primary_arn])].filter(
        (arn) => arn !== key.arn,
      ),
    }),
    quota: 5,
    argument: null,
    errors: [...keyAndState, 'DisabledException', 'UnsupportedOperationException'],
  },
  TagResource: {
    changes: ['tags'],
    after: (key, { Tags }) => ({ ...key, tags: { ...key.tags, ...Tags } }),
    quota: 10,
    argument: 'tags',
    errors: [...keyAndState, 'LimitExceededException', 'TagException'],
  },
  UntagResource: {
    changes: ['tags'],
    after: (key, { TagKeys }) => ({
      ...key,
      tags: Object.fromEntries(Object.entries(key.tags).filter(([name]) => !TagKeys.includes(name))),
    }),
    quota: 5,
    argument: 'tags',
    errors: [...keyAndState, 'TagException'],
  },
  UpdateKeyDescription: {
    changes: ['description'],
    after: (key, { Description }) => ({ ...key, description: Description }),
    quota: 5,
    argument: 'description',
    errors: keyAndState,
  },
  EnableKey: {
    changes: ['key_state'],
    after: (key) => switched(key, true),
    quota: 5,
    argument: 'is_enabled',
    errors: [...keyAndState, 'LimitExceededException'],
  },
  DisableKey: {
    changes: ['key_state'],
    after: (key) => switched(key, false),
    quota: 5,
    argument: 'is_enabled',
    errors: keyAndState,
  },
  EnableKeyRotation: {
    changes: ['rotation'],
    after: (key, { RotationPeriodInDays: days = key.rotation?.period_in_days ?? null }) => ({
      ...key,
      rotation: { enabled: true, period_in_days: days },
    }),
    quota: 15,
    argument: 'enable_key_rotation',
    errors: rotationChange,
  },
  DisableKeyRotation: {
    changes: ['rotation'],
    after: (key) => ({ ...key, rotation: notRotating }),
    quota: 5,
    argument: 'enable_key_rotation',
    errors: rotationChange,
  },
  RotateKeyOnDemand: {
    changes: [],
    after: (key) => key,
    quota: 5,
    argument: null,
    errors: [...rotationChange, 'ConflictException', 'LimitExceededException'],
  },
  RevokeGrant: {
    changes: [],
    after: (key) => key,
    quota: 50,
    argument: null,
    errors: [...keyAndState, 'DryRunOperationException', 'InvalidGrantIdException'],
  },
  RetireGrant: {
    changes: [],
    after: (key) => key,
    quota: 50,
    argument: null,
    errors: [...keyAndState, 'DryRunOperationException', 'InvalidGrantIdException', 'InvalidGrantTokenException'],
  },
  PutKeyPolicy: {
    changes: ['policy'],
    after: (key, { Policy }) => ({ ...key, policy: Policy }),
    quota: 15,
    argument: 'policy',
    errors: [
      ...keyAndState,
      'LimitExceededException',
      'MalformedPolicyDocumentException',
      'UnsupportedOperationException',
    ],
  },
  CreateAlias: {
    changes: ['aliases'],
    after: (key, { AliasName }) => ({ ...key, ...withAlias(key, AliasName) }),
    quota: 5,
    argument: 'aliases',
    errors: [...aliasAndState, 'AlreadyExistsException', 'InvalidAliasNameException', 'LimitExceededException'],
  },
  UpdateAlias: {
    changes: ['aliases'],
    after: (key, { AliasName, ToKeyId }) => ({ ...key, ...withAlias(key, AliasName, ToKeyId) }),
    quota: 5,
    argument: 'aliases',
    errors: [...aliasAndState, 'LimitExceededException'],
  },
  DeleteAlias: {
    changes: ['aliases'],
    after: (key, { AliasName }) => ({ ...key, ...withoutAlias(key, AliasName) }),
    quota: 15,
    argument: 'aliases',
    errors: aliasAndState,
  },
  ScheduleKeyDeletion: {
    changes: ['key_state', 'deletion_date'],
    after: (key, _parameters, { deletion_date, key_state }) => {
      const usual = deletion_date === null ? 'PendingReplicaDeletion' : 'PendingDeletion';
      return { ...key, key_state: (key_state as KeyState | null) ?? usual, enabled: null, deletion_date };
    },
    quota: 15,
    argument: 'deletion_window_in_days',
    errors: keyAndState,
  },
  CancelKeyDeletion: {
    changes: ['key_state', 'deletion_date'],
    after: (key) => ({ ...key, key_state: 'Disabled', enabled: false, deletion_date: null }),
    quota: 5,
    argument: null,
    errors: keyAndState,
  },
};

/**
 * The reads that Keyward makes of keys, in the order in which permissions are asked about.
 * - isOfAccount: permission for it is of no key.
 */
export const readTable = {
  ListKeys: { quota: 500, errors: ['InvalidMarkerException'], isOfAccount: true },
  DescribeKey: { quota: 2000, errors: noSuchKey },
  GetKeyPolicy: { quota: 1000, errors: keyAndState },
  GetKeyRotationStatus: { quota: 1000, errors: [...keyAndState, 'UnsupportedOperationException'] },
  ListKeyRotations: {
    quota: 100,
    errors: [...keyAndState, 'InvalidMarkerException', 'UnsupportedOperationException'],
  },
  ListGrants: { quota: 100, errors: [...keyAndState, 'InvalidGrantIdException', 'InvalidMarkerException'] },
  ListResourceTags: { quota: 2000, errors: [...noSuchKey, 'InvalidMarkerException'] },
  ListAliases: { quota: 500, errors: [...noSuchKey, 'InvalidMarkerException'], isOfAccount: true },
} satisfies Record<string, Read>;

export type ReadName = keyof typeof readTable;

/** Whether permission for a read is of no key. */
export function isOfAccount(name: ReadName): boolean {
  return (readTable as Record<ReadName, Read>)[name].isOfAccount === true;
}

/** A new key may be seen without its tags. */
function asMade(
  key: ObservedKey,
  { Description, Policy, Tags }: Pick<CreateKeyParameters, 'Description' | 'Policy' | 'Tags'>,
): ObservedKey {
  return { ...key, description: Description, policy: Policy ?? key.policy, tags: { ...Tags } };
}

/** A key in a state that does not tell stays in it: what was switched shows when it is over. */
function switched(key: ObservedKey, enabled: boolean): ObservedKey {
  if (isPendingDeletion(key)) return key;
  if (enabledIn(key.key_state) === null) return { ...key, enabled };
  return { ...key, key_state: enabled ? 'Enabled' : 'Disabled', enabled };
}

export const operationNames = Object.keys(operationTable) as OperationName[];

/** What is known of an operation; undefined: it is none of those that Keyward writes with. */
export function operationOf(name: string): Operation<unknown> | undefined {
  return Object.hasOwn(operationTable, name)
    ? (operationTable[name as OperationName] as Operation<unknown>)
    : undefined;
}

/** What KMS answers, of itself, in things that Keyward or the applications beside it build upon. */
import assert from 'node:assert/strict';
import { createPublicKey } from 'node:crypto';
import {
  CreateAliasCommand,
  CreateGrantCommand,
  CreateKeyCommand,
  type CreateKeyCommandInput,
  DeleteAliasCommand,
  DescribeKeyCommand,
  DisableKeyCommand,
  GenerateRandomCommand,
  GetPublicKeyCommand,
  type KMSClient,
  ListGrantsCommand,
  PutKeyPolicyCommand,
  ReplicateKeyCommand,
  RetireGrantCommand,
  RevokeGrantCommand,
  RotateKeyOnDemandCommand,
  TagResourceCommand,
} from '@aws-sdk/client-kms';
import { metadata, ownPolicyOf } from '../support/kms-truth.ts';
import { otherRegion, type Scenario } from './scenario.ts';

async function createInKms(kms: KMSClient, input: CreateKeyCommandInput = {}) {
  const { KeyMetadata: { KeyId = '', Arn = '', AWSAccountId = '' } = {} } = await kms.send(new CreateKeyCommand(input));
  return { KeyId, Arn, account: AWSAccountId };
}

const rsa = { KeySpec: 'RSA_2048', KeyUsage: 'SIGN_VERIFY' } as const;

/** A statement that AWS refuses beside one that it takes, made from this one. */
const refusedStatements: Record<string, (good: object) => object> = {
  'an operator in the wrong case': (good) => ({ ...good, Condition: { stringequals: { 'kms:ViaService': 'x' } } }),
  'a Resource that is not "*"': (good) => ({ ...good, Resource: 'arn:aws:s3:::bucket' }),
  NotResource: ({ Resource: _none, ...good }: { Resource?: unknown }) => ({ ...good, NotResource: '*' }),
  'Action with NotAction': (good) => ({ ...good, NotAction: 'kms:Encrypt' }),
  'an empty list of actions': (good) => ({ ...good, Action: [] }),
  'an action without its service': (good) => ({ ...good, Action: 'Decrypt' }),
  'a bare ARN as Principal': (good) => ({ ...good, Principal: 'arn:aws:iam::111122223333:root' }),
  'NotPrincipal with Allow': ({ Principal, ...good }: { Principal?: unknown }) => ({
    ...good,
    NotPrincipal: Principal,
  }),
  'Principal with NotPrincipal': (good) => ({ ...good, NotPrincipal: { AWS: '111122223333' } }),
};

const policyScenarios = Object.entries(refusedStatements).map(
  ([what, spoil]): Scenario => ({
    name: `policies: ${what} is refused`,
    run: async ({ kms }) => {
      const { KeyId, account } = await createInKms(kms);
      const good = ownPolicyOf(account, 'Own');
      const [statement = {}] = good.Statement;
      const Policy = JSON.stringify({ ...good, Statement: [statement, spoil({ ...statement, Sid: 'Spoilt' })] });
      await assert.rejects(kms.send(new PutKeyPolicyCommand({ KeyId, Policy, PolicyName: 'default' })), {
        name: 'MalformedPolicyDocumentException',
      });
    },
  }),
);

export const factScenarios: Scenario[] = [
  ...policyScenarios,
  {
    name: 'policies: characters beyond Latin-1 are refused',
    run: async ({ kms }) => {
      const { KeyId, account } = await createInKms(kms);
      const Policy = JSON.stringify(ownPolicyOf(account, '中'));
      await assert.rejects(kms.send(new PutKeyPolicyCommand({ KeyId, Policy, PolicyName: 'default' })), {
        name: 'ValidationException',
      });
    },
  },
  {
    name: 'rotation: the state of a key is looked at before its kind',
    run: async ({ kms }) => {
      const { KeyId, Arn } = await createInKms(kms, rsa);
      await assert.rejects(kms.send(new RotateKeyOnDemandCommand({ KeyId })), {
        name: 'UnsupportedOperationException',
      });
      await kms.send(new DisableKeyCommand({ KeyId }));
      const disabled = { name: 'DisabledException', message: `${Arn} is disabled.` };
      await assert.rejects(kms.send(new RotateKeyOnDemandCommand({ KeyId })), disabled);
      const empty = await createInKms(kms, { Origin: 'EXTERNAL' });
      const pending = { name: 'KMSInvalidStateException', message: `${empty.Arn} is pending import.` };
      await assert.rejects(kms.send(new RotateKeyOnDemandCommand({ KeyId: empty.KeyId })), pending);
    },
  },
  {
    name: 'replicas: ReplicateKey answers a key that is being created, without tags',
    run: async ({ kms }) => {
      const { KeyId } = await createInKms(kms, { MultiRegion: true });
      const Tags = [{ TagKey: 'a', TagValue: '1' }];
      const answer = await kms.send(new ReplicateKeyCommand({ KeyId, ReplicaRegion: otherRegion, Tags }));
      const { KeyState, Enabled } = answer.ReplicaKeyMetadata ?? {};
      assert.deepEqual({ KeyState, Enabled }, { KeyState: 'Creating', Enabled: false });
      assert.equal(answer.ReplicaTags, undefined);
    },
  },
  {
    name: 'replicas: a Region that does not exist is refused',
    run: async ({ kms }) => {
      const { KeyId } = await createInKms(kms, { MultiRegion: true });
      await assert.rejects(kms.send(new ReplicateKeyCommand({ KeyId, ReplicaRegion: 'eu-west-9' })));
    },
  },
  {
    name: 'aliases: a name may have a colon in it',
    run: async ({ kms }) => {
      const { KeyId } = await createInKms(kms);
      const AliasName = `alias/facts:${KeyId}`;
      await kms.send(new CreateAliasCommand({ AliasName, TargetKeyId: KeyId }));
      const { KeyMetadata } = await kms.send(new DescribeKeyCommand({ KeyId: AliasName }));
      assert.equal(KeyMetadata?.KeyId, KeyId);
      await kms.send(new DeleteAliasCommand({ AliasName }));
    },
  },
  {
    name: 'aliases: none is onto an alias',
    run: async ({ kms }) => {
      const { KeyId } = await createInKms(kms);
      const first = `alias/facts-${KeyId}`;
      await kms.send(new CreateAliasCommand({ AliasName: first, TargetKeyId: KeyId }));
      const second = new CreateAliasCommand({ AliasName: `${first}-2`, TargetKeyId: first });
      const refusal = { name: 'ValidationException', message: 'Aliases must refer to keys. Not aliases' };
      await assert.rejects(kms.send(second), refusal);
    },
  },
  {
    name: 'tags: AWS keeps names that begin with aws: for itself',
    run: async ({ kms }) => {
      const { KeyId } = await createInKms(kms);
      const Tags = [{ TagKey: 'AWS:x', TagValue: '' }];
      const refusal = { name: 'TagException', message: 'Tags beginning with aws: are reserved' };
      await assert.rejects(kms.send(new TagResourceCommand({ KeyId, Tags })), refusal);
    },
  },
  {
    name: 'public keys: DER of the spec, the same each time',
    run: async ({ kms }) => {
      const { KeyId, Arn } = await createInKms(kms, rsa);
      const { PublicKey = new Uint8Array(), ...answer } = await kms.send(new GetPublicKeyCommand({ KeyId }));
      const key = createPublicKey({ key: Buffer.from(PublicKey), format: 'der', type: 'spki' });
      assert.equal(key.asymmetricKeyDetails?.modulusLength, 2048);
      const { KeyId: named, KeySpec, KeyUsage, SigningAlgorithms } = answer;
      const { SigningAlgorithms: held } = await metadata(kms, KeyId);
      assert.deepEqual(
        { named, KeySpec, KeyUsage, SigningAlgorithms },
        { named: Arn, ...rsa, SigningAlgorithms: held },
      );
      assert.deepEqual((await kms.send(new GetPublicKeyCommand({ KeyId }))).PublicKey, PublicKey);
      const symmetric = await createInKms(kms);
      const refusal = { name: 'UnsupportedOperationException' };
      await assert.rejects(kms.send(new GetPublicKeyCommand({ KeyId: symmetric.KeyId })), refusal);
    },
  },
  {
    name: 'random bytes: as many as were asked for',
    run: async ({ kms }) => {
      const { Plaintext } = await kms.send(new GenerateRandomCommand({ NumberOfBytes: 24 }));
      assert.equal(Plaintext?.length, 24);
    },
  },
  {
    name: 'grants: made, listed, retired by token and revoked by id',
    run: async ({ kms }) => {
      const { KeyId, Arn, account } = await createInKms(kms);
      const GranteePrincipal = `arn:aws:iam::${account}:role/app`;
      const input = { KeyId, GranteePrincipal, Operations: ['Decrypt' as const], Name: 'facts' };
      const first = await kms.send(new CreateGrantCommand(input));
      assert.equal((await kms.send(new CreateGrantCommand(input))).GrantId, first.GrantId);
      const second = await kms.send(new CreateGrantCommand({ ...input, Name: 'other' }));
      const list = async () => (await kms.send(new ListGrantsCommand({ KeyId }))).Grants ?? [];
      const found = (await list()).find(({ GrantId }) => GrantId === first.GrantId);
      assert.equal(found?.KeyId, Arn);
      assert.deepEqual(
        [found?.Name, found?.GranteePrincipal, found?.Operations],
        ['facts', GranteePrincipal, ['Decrypt']],
      );
      await kms.send(new RetireGrantCommand({ GrantToken: first.GrantToken }));
      await kms.send(new RevokeGrantCommand({ KeyId, GrantId: second.GrantId }));
      assert.deepEqual(await list(), []);
    },
  },
  {
    name: 'grants: what the key can not do is not granted',
    run: async ({ kms }) => {
      const { KeyId, account } = await createInKms(kms);
      const GranteePrincipal = `arn:aws:iam::${account}:role/app`;
      const grant = new CreateGrantCommand({ KeyId, GranteePrincipal, Operations: ['Sign'] });
      await assert.rejects(kms.send(grant), { name: 'ValidationException' });
    },
  },
];

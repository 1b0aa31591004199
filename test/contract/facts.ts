/** What KMS answers, of itself, in things that Keyward or the applications beside it build upon. */
import assert from 'node:assert/strict';
import { createPublicKey } from 'node:crypto';
import {
  DisableKeyCommand,
  GenerateRandomCommand,
  GetPublicKeyCommand,
  PutKeyPolicyCommand,
  RotateKeyOnDemandCommand,
  TagResourceCommand,
} from '@aws-sdk/client-kms';
import { metadata, ownPolicyOf } from '../support/kms-truth.ts';
import { createInKms, type Scenario } from './scenario.ts';

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
];

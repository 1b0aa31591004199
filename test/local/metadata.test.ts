import {
  DescribeKeyCommand,
  EnableKeyRotationCommand,
  GetKeyPolicyCommand,
  GetKeyRotationStatusCommand,
  ScheduleKeyDeletionCommand,
} from '@aws-sdk/client-kms';
import { test } from 'tap';
import { keySpecs, usagesBySpec } from '../../src/domain/key-specs.ts';
import { account, describe, startKms } from '../support/local-kms.ts';

/** Source: AWS KMS API reference, KeyMetadata and the algorithm members it names. */
const algorithms: Record<string, [member: string, values: string[]]> = {
  'SYMMETRIC_DEFAULT ENCRYPT_DECRYPT': ['EncryptionAlgorithms', ['SYMMETRIC_DEFAULT']],
  'RSA ENCRYPT_DECRYPT': ['EncryptionAlgorithms', ['RSAES_OAEP_SHA_1', 'RSAES_OAEP_SHA_256']],
  'RSA SIGN_VERIFY': [
    'SigningAlgorithms',
    ['PKCS1_V1_5_SHA_256', 'PKCS1_V1_5_SHA_384', 'PKCS1_V1_5_SHA_512', 'PSS_SHA_256', 'PSS_SHA_384', 'PSS_SHA_512'].map(
      (name) => `RSASSA_${name}`,
    ),
  ],
  'ECC_NIST_P256 SIGN_VERIFY': ['SigningAlgorithms', ['ECDSA_SHA_256']],
  'ECC_NIST_P384 SIGN_VERIFY': ['SigningAlgorithms', ['ECDSA_SHA_384']],
  'ECC_NIST_P521 SIGN_VERIFY': ['SigningAlgorithms', ['ECDSA_SHA_512']],
  'ECC_SECG_P256K1 SIGN_VERIFY': ['SigningAlgorithms', ['ECDSA_SHA_256']],
  'ECC_NIST_EDWARDS25519 SIGN_VERIFY': ['SigningAlgorithms', ['ED25519_SHA_512', 'ED25519_PH_SHA_512']],
  'ECC KEY_AGREEMENT': ['KeyAgreementAlgorithms', ['ECDH']],
  'SM2 ENCRYPT_DECRYPT': ['EncryptionAlgorithms', ['SM2PKE']],
  'SM2 SIGN_VERIFY': ['SigningAlgorithms', ['SM2DSA']],
  'SM2 KEY_AGREEMENT': ['KeyAgreementAlgorithms', ['ECDH']],
  'ML_DSA SIGN_VERIFY': ['SigningAlgorithms', ['ML_DSA_SHAKE_256']],
};

function algorithmsOf(spec: string, usage: string) {
  if (usage === 'GENERATE_VERIFY_MAC') return ['MacAlgorithms', [spec.replace('HMAC', 'HMAC_SHA')]] as const;
  if (usage === 'ENCAPSULATE_DECAPSULATE') return ['EncapsulationAlgorithms', ['ML_KEM']] as const;
  const family = /^(RSA|ML_DSA|ECC)/.exec(spec)?.[1];
  return algorithms[`${spec} ${usage}`] ?? algorithms[`${family} ${usage}`] ?? ['none', []];
}

test('KeyMetadata, member by member, for each spec and usage', async (t) => {
  const { create, kms } = await startKms(t);
  for (const spec of keySpecs) {
    for (const usage of usagesBySpec[spec]) {
      const created = await create({ KeySpec: spec, KeyUsage: usage, Description: 'described' });
      const [member, values] = algorithmsOf(spec, usage);
      const wanted: Record<string, unknown> = {
        AWSAccountId: account,
        Arn: `arn:aws:kms:us-east-1:${account}:key/${created.KeyId}`,
        CreationDate: created.CreationDate,
        CustomerMasterKeySpec: spec,
        Description: 'described',
        Enabled: true,
        KeyId: created.KeyId,
        KeyManager: 'CUSTOMER',
        KeySpec: spec,
        KeyState: 'Enabled',
        KeyUsage: usage,
        MultiRegion: false,
        Origin: 'AWS_KMS',
        [member]: values,
      };
      if (spec === 'SYMMETRIC_DEFAULT') wanted['CurrentKeyMaterialId'] = created.CurrentKeyMaterialId;
      t.strictSame(created, wanted, `CreateKey answers ${spec} ${usage}`);
      t.strictSame(await describe(kms, created.KeyId), wanted, `DescribeKey answers the same`);
    }
  }
});

test('KeyMetadata of a plain key has a CurrentKeyMaterialId of 64 hexadecimal digits and an id that is a UUID', async (t) => {
  const { create } = await startKms(t);
  const key = await create();
  t.match(key.CurrentKeyMaterialId, /^[0-9a-f]{64}$/);
  t.match(key.KeyId, /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/);
});

test('timestamps are seconds since the epoch, with fractions', async (t) => {
  const { url, create } = await startKms(t);
  const before = Date.now();
  const { KeyId } = await create();
  const now = new Date().toISOString().replaceAll(/[-:]|\.\d+/g, '');
  const answer = await fetch(url, {
    method: 'POST',
    body: JSON.stringify({ KeyId }),
    headers: {
      'content-type': 'application/x-amz-json-1.1',
      'x-amz-target': 'TrentService.DescribeKey',
      'x-amz-date': now,
      authorization: `AWS4-HMAC-SHA256 Credential=${account}/${now.slice(0, 8)}/us-east-1/kms/aws4_request`,
    },
  });
  const { KeyMetadata } = (await answer.json()) as { KeyMetadata: { CreationDate: number } };
  t.ok(KeyMetadata.CreationDate * 1000 >= before - 1 && KeyMetadata.CreationDate * 1000 <= Date.now());
  t.equal(answer.headers.get('content-type'), 'application/x-amz-json-1.1');
  t.ok(answer.headers.get('x-amzn-requestid'));
});

test('a multi-Region key has an id that begins with mrk- and a MultiRegionConfiguration', async (t) => {
  const { create } = await startKms(t);
  const key = await create({ MultiRegion: true });
  t.match(key.KeyId, /^mrk-[0-9a-f]{32}$/);
  t.equal(key.MultiRegion, true);
  const PrimaryKey = { Arn: key.Arn, Region: 'us-east-1' };
  t.strictSame(key.MultiRegionConfiguration, { MultiRegionKeyType: 'PRIMARY', PrimaryKey, ReplicaKeys: [] });
});

test('a key pending deletion has Enabled false and a DeletionDate', async (t) => {
  const { create, kms } = await startKms(t);
  const { KeyId, Arn } = await create();
  const scheduled = await kms.send(new ScheduleKeyDeletionCommand({ KeyId, PendingWindowInDays: 9 }));
  const days = Math.round(((scheduled.DeletionDate?.getTime() ?? 0) - Date.now()) / 86_400_000);
  t.match(scheduled, { KeyId: Arn, KeyState: 'PendingDeletion', PendingWindowInDays: 9 });
  t.equal(days, 9);
  const { DeletionDate } = scheduled;
  t.match(await describe(kms, KeyId), { Enabled: false, KeyState: 'PendingDeletion', DeletionDate });
});

test('GetKeyRotationStatus: KeyId, KeyRotationEnabled and, when on, RotationPeriodInDays and NextRotationDate', async (t) => {
  const { create, kms } = await startKms(t);
  const { KeyId, Arn } = await create();
  const status = async () => {
    const { $metadata, ...members } = await kms.send(new GetKeyRotationStatusCommand({ KeyId }));
    return members;
  };
  t.strictSame(await status(), { KeyId: Arn, KeyRotationEnabled: false });
  await kms.send(new EnableKeyRotationCommand({ KeyId }));
  const standard = await status();
  t.match(standard, { KeyId: Arn, KeyRotationEnabled: true, RotationPeriodInDays: 365 });
  await kms.send(new EnableKeyRotationCommand({ KeyId, RotationPeriodInDays: 100 }));
  const { NextRotationDate, ...rest } = await status();
  t.strictSame(rest, { KeyId: Arn, KeyRotationEnabled: true, RotationPeriodInDays: 100 });
  t.equal(Math.round(((NextRotationDate?.getTime() ?? 0) - Date.now()) / 86_400_000), 100);
});

test('without a policy, the key gets key-default-1', async (t) => {
  const { create, kms } = await startKms(t);
  const { KeyId } = await create();
  const { Policy, PolicyName } = await kms.send(new GetKeyPolicyCommand({ KeyId }));
  t.equal(PolicyName, 'default');
  t.strictSame(JSON.parse(Policy ?? ''), {
    Version: '2012-10-17',
    Id: 'key-default-1',
    Statement: [
      {
        Sid: 'Enable IAM User Permissions',
        Effect: 'Allow',
        Principal: { AWS: `arn:aws:iam::${account}:root` },
        Action: 'kms:*',
        Resource: '*',
      },
    ],
  });
  t.notSame(Policy, JSON.stringify(JSON.parse(Policy ?? '')), 'KMS has white space of its own');
});

test('AWS managed keys: behind alias/aws/…, KeyManager AWS, a policy and yearly rotation', async (t) => {
  const { kms } = await startKms(t);
  const { KeyMetadata } = await kms.send(new DescribeKeyCommand({ KeyId: 'alias/aws/s3' }));
  t.match(KeyMetadata, { KeyManager: 'AWS', KeyState: 'Enabled', KeySpec: 'SYMMETRIC_DEFAULT' });
  t.match((await describe(kms, 'alias/aws/s3')).KeyId, KeyMetadata?.KeyId, 'the same key each time');
  const { KeyRotationEnabled } = await kms.send(new GetKeyRotationStatusCommand({ KeyId: KeyMetadata?.KeyId }));
  t.equal(KeyRotationEnabled, true);
});

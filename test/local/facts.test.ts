import {
  CreateKeyCommand,
  DescribeKeyCommand,
  EnableKeyRotationCommand,
  GetKeyPolicyCommand,
  GetKeyRotationStatusCommand,
  ListResourceTagsCommand,
} from '@aws-sdk/client-kms';
import { test } from 'tap';
import { standardQuotas } from '../../src/domain/request-quotas.ts';
import { account, refuses, startKms } from '../support/local-kms.ts';

/** Requests a second. Source: AWS KMS developer guide, "Request quotas". */
const quotas: Record<number, string[]> = {
  5: [
    ['CreateKey', 'EnableKey', 'DisableKey', 'UpdateKeyDescription', 'DisableKeyRotation', 'RotateKeyOnDemand'],
    ['CancelKeyDeletion', 'ReplicateKey', 'GetKeyLastUsage', 'CreateAlias', 'UpdateAlias', 'UntagResource'],
    ['UpdatePrimaryRegion'],
  ].flat(),
  10: ['TagResource'],
  15: ['EnableKeyRotation', 'ScheduleKeyDeletion', 'DeleteAlias', 'PutKeyPolicy'],
  50: ['CreateGrant', 'RevokeGrant'],
  100: ['ListKeyRotations', 'ListKeyPolicies', 'ListGrants'],
  500: ['ListKeys', 'ListAliases'],
  1000: ['GetKeyPolicy', 'GetKeyRotationStatus'],
  2000: ['DescribeKey', 'ListResourceTags', 'GetPublicKey'],
};

test('each operation has its own request quota', async (t) => {
  for (const [rate, operations] of Object.entries(quotas)) {
    for (const operation of operations) t.equal(standardQuotas[operation], Number(rate), operation);
  }
});

test("ARNs carry the partition of the Region, and so does the default policy's principal", async (t) => {
  const { client } = await startKms(t);
  for (const [region, partition] of Object.entries({
    'us-east-1': 'aws',
    'cn-north-1': 'aws-cn',
    'us-gov-west-1': 'aws-us-gov',
    'us-iso-east-1': 'aws-iso',
    'us-isob-east-1': 'aws-iso-b',
    'eu-isoe-west-1': 'aws-iso-e',
    'us-isof-south-1': 'aws-iso-f',
    'eusc-de-east-1': 'aws-eusc',
  })) {
    const kms = client(account, region);
    const { KeyMetadata: { KeyId, Arn } = {} } = await kms.send(new CreateKeyCommand({}));
    t.equal(Arn, `arn:${partition}:kms:${region}:${account}:key/${KeyId}`);
    t.equal((await kms.send(new DescribeKeyCommand({ KeyId: Arn }))).KeyMetadata?.Arn, Arn);
    const { Policy = '' } = await kms.send(new GetKeyPolicyCommand({ KeyId }));
    t.strictSame(JSON.parse(Policy), {
      Version: '2012-10-17',
      Id: 'key-default-1',
      Statement: [
        {
          Sid: 'Enable IAM User Permissions',
          Effect: 'Allow',
          Principal: { AWS: `arn:${partition}:iam::${account}:root` },
          Action: 'kms:*',
          Resource: '*',
        },
      ],
    });
  }
});

test("every error is HTTP 400, but for KMS's own faults, which are 500", async (t) => {
  const { kms, create, control } = await startKms(t);
  const { KeyId } = await create();
  for (const [type, status] of Object.entries({
    KMSInternalException: 500,
    DependencyTimeoutException: 500,
    KeyUnavailableException: 500,
    DisabledException: 400,
    ThrottlingException: 400,
    LimitExceededException: 400,
  })) {
    // The SDK tries some of them again.
    await control.fault({ operation: 'DescribeKey', kind: 'error', type, message: 'on purpose', times: 9 });
    const call = kms.send(new DescribeKeyCommand({ KeyId }));
    await t.rejects(call, { name: type, $metadata: { httpStatusCode: status } }, type);
    await control.clearFaults();
  }
  await refuses(t, kms.send(new DescribeKeyCommand({ KeyId: 'x' })), 'NotFoundException', "Invalid keyId 'x'");
});

test('GetKeyRotationStatus tells the period and the next date of rotation that is on, and of none that is off', async (t) => {
  const { kms, create } = await startKms(t);
  const { KeyId, Arn } = await create();
  const status = async () => {
    const { $metadata, ...answer } = await kms.send(new GetKeyRotationStatusCommand({ KeyId }));
    return answer;
  };
  t.strictSame(await status(), { KeyId: Arn, KeyRotationEnabled: false });
  await kms.send(new EnableKeyRotationCommand({ KeyId }));
  const on = await status();
  t.match(on, { KeyId: Arn, KeyRotationEnabled: true, RotationPeriodInDays: 365 });
  t.ok(on.NextRotationDate instanceof Date && on.NextRotationDate.getTime() > Date.now() + 364 * 86_400_000);
  t.equal(Object.keys(on).length, 4);
});

test('a new key has the tags that it was given, and no others', async (t) => {
  const { kms, create } = await startKms(t);
  const { KeyId } = await create({ Tags: [{ TagKey: 'a', TagValue: '' }] });
  const { Tags, Truncated } = await kms.send(new ListResourceTagsCommand({ KeyId }));
  t.strictSame({ Tags, Truncated }, { Tags: [{ TagKey: 'a', TagValue: '' }], Truncated: false });
});

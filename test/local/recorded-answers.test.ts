import {
  CancelKeyDeletionCommand,
  CreateAliasCommand,
  CreateKeyCommand,
  DescribeKeyCommand,
  DisableKeyCommand,
  EnableKeyCommand,
  EnableKeyRotationCommand,
  GetKeyPolicyCommand,
  type KeySpec,
  ListResourceTagsCommand,
  PutKeyPolicyCommand,
  RotateKeyOnDemandCommand,
  ScheduleKeyDeletionCommand,
  TagResourceCommand,
  UntagResourceCommand,
  UpdateKeyDescriptionCommand,
} from '@aws-sdk/client-kms';
import { test } from 'tap';
import { keySpecs } from '../../src/domain/key-specs.ts';
import { keyArn, refuses, startKms, unknownId } from '../support/local-kms.ts';

test('answers recorded from AWS, to the letter', async (t) => {
  const { kms, create } = await startKms(t);
  const { KeyId, Arn } = await create();
  const tags = (count: number) => Array.from({ length: count }, (_, index) => ({ TagKey: `t${index}`, TagValue: '' }));

  t.test('a key id that is no UUID: Invalid keyId', async (t) => {
    for (const id of ['nonsense', `${KeyId}0`, 'mrk-123', 'key/x']) {
      await refuses(t, kms.send(new DescribeKeyCommand({ KeyId: id })), 'NotFoundException', `Invalid keyId '${id}'`);
    }
  });

  t.test('a well-formed id that is not there: does not exist', async (t) => {
    const message = `Key '${keyArn(unknownId)}' does not exist`;
    for (const id of [unknownId, keyArn(unknownId)]) {
      await refuses(t, kms.send(new DescribeKeyCommand({ KeyId: id })), 'NotFoundException', message);
      await refuses(t, kms.send(new EnableKeyCommand({ KeyId: id })), 'NotFoundException', message);
      await refuses(t, kms.send(new ListResourceTagsCommand({ KeyId: id })), 'NotFoundException', message);
    }
  });

  t.test('an ARN of another Region: Invalid arn <region>', async (t) => {
    const elsewhere = Arn.replace('us-east-1', 'eu-west-1');
    await refuses(
      t,
      kms.send(new DescribeKeyCommand({ KeyId: elsewhere })),
      'NotFoundException',
      'Invalid arn eu-west-1',
    );
  });

  t.test('CreateKey of an HMAC or asymmetric spec without KeyUsage', async (t) => {
    const message = 'You must specify a KeyUsage value for all KMS keys except for symmetric encryption keys.';
    for (const KeySpec of keySpecs.filter((spec) => spec !== 'SYMMETRIC_DEFAULT')) {
      await refuses(t, kms.send(new CreateKeyCommand({ KeySpec })), 'ValidationException', message);
    }
  });

  t.test("CreateKey, usage and spec that don't go together", async (t) => {
    const message = 'KeyUsage KEY_AGREEMENT is not compatible with KeySpec RSA_2048';
    const call = kms.send(new CreateKeyCommand({ KeySpec: 'RSA_2048', KeyUsage: 'KEY_AGREEMENT' }));
    await refuses(t, call, 'ValidationException', message);
  });

  t.test('CreateKey, a spec not in the set', async (t) => {
    const call = kms.send(new CreateKeyCommand({ KeySpec: 'HMAC_random' as KeySpec }));
    await refuses(
      t,
      call,
      'ValidationException',
      /^1 validation error detected: Value 'HMAC_random' at 'keySpec' failed to satisfy constraint: Member must satisfy enum value set: \[.*RSA_2048.*\]$/,
    );
  });

  t.test('duplicate tag keys', async (t) => {
    const Tags = [
      { TagKey: 'a', TagValue: '1' },
      { TagKey: 'a', TagValue: '2' },
    ];
    await refuses(t, kms.send(new CreateKeyCommand({ Tags })), 'TagException', 'Duplicate tag keys');
    await refuses(t, kms.send(new TagResourceCommand({ KeyId, Tags })), 'TagException', 'Duplicate tag keys');
  });

  t.test('more than 50 tags', async (t) => {
    await refuses(t, kms.send(new CreateKeyCommand({ Tags: tags(51) })), 'TagException', 'Too many tags');
    const full = await create({ Tags: tags(50) });
    const one = [{ TagKey: 'one more', TagValue: '' }];
    const call = kms.send(new TagResourceCommand({ KeyId: full.KeyId, Tags: one }));
    await refuses(t, call, 'TagException', 'Too many tags');
    await kms.send(new TagResourceCommand({ KeyId: full.KeyId, Tags: tags(50) }));
  });

  t.test('a tag key that begins with aws: in any case', async (t) => {
    for (const TagKey of ['aws:x', 'AWS:x', 'aWs:']) {
      const Tags = [{ TagKey, TagValue: '' }];
      const message = 'Tags beginning with aws: are reserved';
      await refuses(t, kms.send(new TagResourceCommand({ KeyId, Tags })), 'TagException', message);
      await refuses(t, kms.send(new UntagResourceCommand({ KeyId, TagKeys: [TagKey] })), 'TagException', message);
    }
  });

  t.test('a tag value over 256', async (t) => {
    const value = 'v'.repeat(257);
    const call = kms.send(new TagResourceCommand({ KeyId, Tags: [{ TagKey: 'a', TagValue: value }] }));
    const message = `1 validation error detected: Value '${value}' at 'tags.1.member.tagValue' failed to satisfy constraint: Member must have length less than or equal to 256`;
    await refuses(t, call, 'ValidationException', message);
  });

  t.test('a policy that locks the caller out, and its bypass', async (t) => {
    const statement = { Effect: 'Allow', Principal: { AWS: '*' }, Action: 'kms:Decrypt', Resource: '*' };
    const Policy = JSON.stringify({ Version: '2012-10-17', Statement: [statement] });
    const message = 'The new key policy will not allow you to update the key policy in the future.';
    await refuses(t, kms.send(new PutKeyPolicyCommand({ KeyId, Policy })), 'MalformedPolicyDocumentException', message);
    await refuses(t, kms.send(new CreateKeyCommand({ Policy })), 'MalformedPolicyDocumentException', message);
    const { KeyId: bypassed } = await create();
    await kms.send(new PutKeyPolicyCommand({ KeyId: bypassed, Policy, BypassPolicyLockoutSafetyCheck: true }));
    const { Policy: held } = await kms.send(new GetKeyPolicyCommand({ KeyId: bypassed }));
    t.same(JSON.parse(held ?? ''), JSON.parse(Policy));
  });

  t.test('RotateKeyOnDemand on a disabled key', async (t) => {
    const disabled = await create();
    await kms.send(new DisableKeyCommand({ KeyId: disabled.KeyId }));
    const call = kms.send(new RotateKeyOnDemandCommand({ KeyId: disabled.KeyId }));
    await refuses(t, call, 'DisabledException', `${disabled.Arn} is disabled.`);
  });

  t.test('anything that changes a key pending deletion', async (t) => {
    const doomed = await create();
    await kms.send(new ScheduleKeyDeletionCommand({ KeyId: doomed.KeyId }));
    const id = { KeyId: doomed.KeyId };
    const policy = { Policy: JSON.stringify({ Statement: [] }) };
    for (const call of [
      kms.send(new EnableKeyCommand(id)),
      kms.send(new DisableKeyCommand(id)),
      kms.send(new EnableKeyRotationCommand(id)),
      kms.send(new RotateKeyOnDemandCommand(id)),
      kms.send(new UpdateKeyDescriptionCommand({ ...id, Description: '' })),
      kms.send(new PutKeyPolicyCommand({ ...id, ...policy })),
      kms.send(new TagResourceCommand({ ...id, Tags: tags(1) })),
      kms.send(new UntagResourceCommand({ ...id, TagKeys: ['a'] })),
      kms.send(new ScheduleKeyDeletionCommand(id)),
      kms.send(new CreateAliasCommand({ AliasName: 'alias/doomed', TargetKeyId: doomed.KeyId })),
    ]) {
      await refuses(t, call, 'KMSInvalidStateException', `${doomed.Arn} is pending deletion.`);
    }
  });

  t.test('CancelKeyDeletion of a key that is not', async (t) => {
    const call = kms.send(new CancelKeyDeletionCommand({ KeyId }));
    await refuses(t, call, 'KMSInvalidStateException', `${Arn} is not pending deletion.`);
  });

  t.test('CreateAlias without the prefix', async (t) => {
    const call = kms.send(new CreateAliasCommand({ AliasName: 'mine', TargetKeyId: KeyId }));
    const message =
      'Alias must start with the prefix "alias/". Please see https://docs.aws.amazon.com/kms/latest/developerguide/kms-alias.html';
    await refuses(t, call, 'ValidationException', message);
  });

  t.test('EnableKeyRotation on an asymmetric or HMAC key', async (t) => {
    for (const input of [
      { KeySpec: 'RSA_2048', KeyUsage: 'SIGN_VERIFY' },
      { KeySpec: 'HMAC_256', KeyUsage: 'GENERATE_VERIFY_MAC' },
    ] as const) {
      const key = await create(input);
      const call = kms.send(new EnableKeyRotationCommand({ KeyId: key.KeyId }));
      await refuses(t, call, 'UnsupportedOperationException');
    }
  });
});

import {
  CancelKeyDeletionCommand,
  CreateAliasCommand,
  DeleteAliasCommand,
  DescribeKeyCommand,
  DisableKeyCommand,
  DisableKeyRotationCommand,
  EnableKeyCommand,
  EnableKeyRotationCommand,
  GetKeyPolicyCommand,
  GetKeyRotationStatusCommand,
  ListAliasesCommand,
  ListKeyPoliciesCommand,
  ListKeyRotationsCommand,
  ListResourceTagsCommand,
  PutKeyPolicyCommand,
  RotateKeyOnDemandCommand,
  ScheduleKeyDeletionCommand,
  TagResourceCommand,
  UntagResourceCommand,
  UpdateAliasCommand,
  UpdateKeyDescriptionCommand,
} from '@aws-sdk/client-kms';
import { test } from 'tap';
import { ownPolicy } from '../support/kms-truth.ts';
import { account, describe, refuses, startKms } from '../support/local-kms.ts';

const aliasArn = (name: string) => `arn:aws:kms:us-east-1:${account}:${name}`;

test('id, ARN, alias and alias ARN wherever KMS takes a KeyId', async (t) => {
  const { kms, create } = await startKms(t);
  const { KeyId, Arn } = await create();
  await kms.send(new CreateAliasCommand({ AliasName: 'alias/mine', TargetKeyId: KeyId }));

  t.test('DescribeKey takes all four (API reference, DescribeKey)', async (t) => {
    for (const name of [KeyId, Arn, 'alias/mine', aliasArn('alias/mine')]) {
      t.equal((await describe(kms, name)).KeyId, KeyId, name);
    }
  });

  // The API reference, operation by operation: "the key ID or key ARN of the KMS key".
  const operations: [name: string, call: (id: { KeyId: string }) => Promise<unknown>][] = [
    ['GetKeyPolicy', (id) => kms.send(new GetKeyPolicyCommand(id))],
    ['PutKeyPolicy', (id) => kms.send(new PutKeyPolicyCommand({ ...id, Policy: JSON.stringify(ownPolicy('a')) }))],
    ['ListKeyPolicies', (id) => kms.send(new ListKeyPoliciesCommand(id))],
    ['EnableKeyRotation', (id) => kms.send(new EnableKeyRotationCommand(id))],
    ['GetKeyRotationStatus', (id) => kms.send(new GetKeyRotationStatusCommand(id))],
    ['RotateKeyOnDemand', (id) => kms.send(new RotateKeyOnDemandCommand(id))],
    ['ListKeyRotations', (id) => kms.send(new ListKeyRotationsCommand(id))],
    ['DisableKeyRotation', (id) => kms.send(new DisableKeyRotationCommand(id))],
    ['UpdateKeyDescription', (id) => kms.send(new UpdateKeyDescriptionCommand({ ...id, Description: 'x' }))],
    ['DisableKey', (id) => kms.send(new DisableKeyCommand(id))],
    ['EnableKey', (id) => kms.send(new EnableKeyCommand(id))],
    ['TagResource', (id) => kms.send(new TagResourceCommand({ ...id, Tags: [{ TagKey: 'a', TagValue: '' }] }))],
    ['ListResourceTags', (id) => kms.send(new ListResourceTagsCommand(id))],
    ['UntagResource', (id) => kms.send(new UntagResourceCommand({ ...id, TagKeys: ['a'] }))],
    ['ListAliases', (id) => kms.send(new ListAliasesCommand(id))],
  ];
  for (const [name, call] of operations) {
    t.test(`${name} takes the key id and the key ARN, no alias`, async (t) => {
      await t.resolves(call({ KeyId }), 'id');
      await t.resolves(call({ KeyId: Arn }), 'ARN');
      await refuses(t, call({ KeyId: 'alias/mine' }), 'NotFoundException', "Invalid keyId 'alias/mine'");
      const arn = aliasArn('alias/mine');
      await refuses(t, call({ KeyId: arn }), 'NotFoundException', `Invalid keyId '${arn}'`);
    });
  }

  t.test('ScheduleKeyDeletion and CancelKeyDeletion take the key id and the key ARN', async (t) => {
    for (const name of [KeyId, Arn]) {
      t.equal((await kms.send(new ScheduleKeyDeletionCommand({ KeyId: name }))).KeyId, Arn);
      t.equal((await kms.send(new CancelKeyDeletionCommand({ KeyId: name }))).KeyId, Arn);
    }
    await kms.send(new EnableKeyCommand({ KeyId }));
  });
});

test('aliases: one key each, names of their own, none of AWS', async (t) => {
  const { kms, create } = await startKms(t);
  const [first, second] = [await create(), await create()];
  await kms.send(new CreateAliasCommand({ AliasName: 'alias/a', TargetKeyId: first.KeyId }));
  await refuses(
    t,
    kms.send(new CreateAliasCommand({ AliasName: 'alias/a', TargetKeyId: second.KeyId })),
    'AlreadyExistsException',
    `An alias with the name ${aliasArn('alias/a')} already exists`,
  );
  await kms.send(new UpdateAliasCommand({ AliasName: 'alias/a', TargetKeyId: second.Arn }));
  t.equal((await describe(kms, 'alias/a')).KeyId, second.KeyId);
  await kms.send(new DeleteAliasCommand({ AliasName: 'alias/a' }));
  const missing = `Alias ${aliasArn('alias/a')} is not found.`;
  await refuses(t, kms.send(new DescribeKeyCommand({ KeyId: 'alias/a' })), 'NotFoundException', missing);
  await refuses(t, kms.send(new DeleteAliasCommand({ AliasName: 'alias/a' })), 'NotFoundException', missing);
  const reserved = { AliasName: 'alias/aws/mine', TargetKeyId: first.KeyId };
  await refuses(t, kms.send(new CreateAliasCommand(reserved)), 'NotAuthorizedException');

  t.test('an alias name has letters, digits and :/_-', async (t) => {
    for (const AliasName of ['alias/my:alias', 'alias/a/b_c-D9']) {
      await kms.send(new CreateAliasCommand({ AliasName, TargetKeyId: first.KeyId }));
      t.equal((await describe(kms, AliasName)).KeyId, first.KeyId);
      await kms.send(new DeleteAliasCommand({ AliasName }));
    }
    for (const AliasName of ['alias/a b', 'alias/ä', 'alias/a.b']) {
      const call = kms.send(new CreateAliasCommand({ AliasName, TargetKeyId: first.KeyId }));
      const words = `1 validation error detected: Value '${AliasName}' at 'aliasName' failed to satisfy constraint: Member must satisfy regular expression pattern: ^[a-zA-Z0-9:/_-]+$`;
      await refuses(t, call, 'ValidationException', words);
    }
    const nameless = kms.send(new CreateAliasCommand({ AliasName: 'alias/', TargetKeyId: first.KeyId }));
    await refuses(t, nameless, 'InvalidAliasNameException');
  });

  t.test('an alias refers to a key, and not to an alias', async (t) => {
    await kms.send(new CreateAliasCommand({ AliasName: 'alias/first', TargetKeyId: first.KeyId }));
    for (const TargetKeyId of ['alias/first', aliasArn('alias/first'), 'alias/none']) {
      const words = 'Aliases must refer to keys. Not aliases';
      const made = kms.send(new CreateAliasCommand({ AliasName: 'alias/onto', TargetKeyId }));
      await refuses(t, made, 'ValidationException', words);
      const moved = kms.send(new UpdateAliasCommand({ AliasName: 'alias/first', TargetKeyId }));
      await refuses(t, moved, 'ValidationException', words);
    }
    await kms.send(new DeleteAliasCommand({ AliasName: 'alias/first' }));
  });

  t.test('50 aliases a key (resource quota)', async (t) => {
    for (let index = 0; index < 50; index += 1) {
      await kms.send(new CreateAliasCommand({ AliasName: `alias/n${index}`, TargetKeyId: first.KeyId }));
    }
    const oneMore = kms.send(new CreateAliasCommand({ AliasName: 'alias/n50', TargetKeyId: first.KeyId }));
    await refuses(t, oneMore, 'LimitExceededException');
  });
});

test("aliases under alias/aws/ belong to AWS services; their keys can't be changed", async (t) => {
  const { kms } = await startKms(t);
  const { KeyId } = await describe(kms, aliasArn('alias/aws/ebs'));
  for (const call of [
    kms.send(new DisableKeyCommand({ KeyId })),
    kms.send(new ScheduleKeyDeletionCommand({ KeyId })),
    kms.send(new TagResourceCommand({ KeyId, Tags: [{ TagKey: 'a', TagValue: '' }] })),
    kms.send(new PutKeyPolicyCommand({ KeyId, Policy: JSON.stringify(ownPolicy('a')) })),
    kms.send(new UpdateKeyDescriptionCommand({ KeyId, Description: 'mine' })),
    kms.send(new CreateAliasCommand({ AliasName: 'alias/mine', TargetKeyId: KeyId })),
  ]) {
    await refuses(t, call, 'AccessDeniedException');
  }
});

test('accounts and Regions are kept apart', async (t) => {
  const { client, create } = await startKms(t);
  const { KeyId, Arn } = await create();
  const otherRegion = client(account, 'eu-west-1');
  const otherAccount = client('444455556666');
  await refuses(
    t,
    otherRegion.send(new DescribeKeyCommand({ KeyId })),
    'NotFoundException',
    `Key 'arn:aws:kms:eu-west-1:${account}:key/${KeyId}' does not exist`,
  );
  await refuses(
    t,
    otherRegion.send(new DescribeKeyCommand({ KeyId: Arn })),
    'NotFoundException',
    'Invalid arn us-east-1',
  );
  await refuses(t, otherAccount.send(new DescribeKeyCommand({ KeyId: Arn })), 'AccessDeniedException');
  await refuses(t, otherAccount.send(new DescribeKeyCommand({ KeyId })), 'NotFoundException');
});

import {
  CreateAliasCommand,
  CreateKeyCommand,
  DescribeKeyCommand,
  EnableKeyCommand,
  GetKeyPolicyCommand,
  ListAliasesCommand,
  ListKeysCommand,
  ListResourceTagsCommand,
  ReplicateKeyCommand,
  ScheduleKeyDeletionCommand,
  UpdateAliasCommand,
} from '@aws-sdk/client-kms';
import { GetResourcesCommand, ResourceGroupsTaggingAPIClient } from '@aws-sdk/client-resource-groups-tagging-api';
import { AssumeRoleCommand, GetCallerIdentityCommand } from '@aws-sdk/client-sts';
import { test } from 'tap';
import { account, keyArn, refuses, unknownId } from '../support/local-kms.ts';
import { allow, deny, role, session, startWithRole } from '../support/role.ts';

test('what a registered role may do, by its policies', async (t) => {
  const { app, may, create, notAllowed, refusal, roles } = await startWithRole(t);
  const key = await create({ Tags: [{ TagKey: 'team', TagValue: 'pay' }] });
  const other = await create();
  const describe = (KeyId: string) => app.send(new DescribeKeyCommand({ KeyId }));
  const schedule = (KeyId: string) => app.send(new ScheduleKeyDeletionCommand({ KeyId }));

  t.test('as long as no policies are registered, everything', async (t) => {
    await roles.register({ arn: role, trust: { external_id: 'x1' } });
    await t.resolves(describe(key.KeyId));
  });

  t.test('nothing but what is allowed; resources by ARN', async (t) => {
    await may();
    await notAllowed(describe(key.KeyId), 'kms:DescribeKey', key.Arn);
    await notAllowed(app.send(new ListKeysCommand({})), 'kms:ListKeys', '*');
    await notAllowed(app.send(new CreateKeyCommand({})), 'kms:CreateKey', '*');
    await may(allow('kms:DescribeKey', key.Arn));
    await t.resolves(describe(key.KeyId));
    await t.resolves(describe(key.Arn));
    await notAllowed(describe(other.KeyId), 'kms:DescribeKey', other.Arn);
    await may(allow(['kms:List*', 'KMS:describekey'], [`arn:aws:kms:*:${account}:key/*`]));
    await t.resolves(describe(other.KeyId));
    await notAllowed(app.send(new ListKeysCommand({})), 'kms:ListKeys', '*');
    await may(allow('*'));
    await t.resolves(app.send(new ListKeysCommand({})));
  });

  t.test('a key that is not there is asked about by its ARN alone', async (t) => {
    await may(allow('kms:DescribeKey', '*', { StringLike: { 'aws:ResourceTag/team': '*' } }));
    await notAllowed(describe(unknownId), 'kms:DescribeKey', keyArn(unknownId));
    await notAllowed(describe(keyArn(unknownId)), 'kms:DescribeKey', keyArn(unknownId));
    await refuses(t, describe('nonsense'), 'NotFoundException', "Invalid keyId 'nonsense'");
    await may(allow('kms:DescribeKey'));
    await refuses(t, describe(unknownId), 'NotFoundException', `Key '${keyArn(unknownId)}' does not exist`);
  });

  t.test('NotAction, NotResource and Deny', async (t) => {
    await may({ Effect: 'Allow', NotAction: 'kms:Schedule*', Resource: '*' });
    await t.resolves(describe(key.KeyId));
    await notAllowed(schedule(key.KeyId), 'kms:ScheduleKeyDeletion', key.Arn);
    await may({ Effect: 'Allow', Action: 'kms:*', NotResource: other.Arn });
    await t.resolves(describe(key.KeyId));
    await notAllowed(describe(other.KeyId), 'kms:DescribeKey', other.Arn);
    await may(allow('kms:*'), deny('kms:Schedule*'));
    await t.resolves(describe(key.KeyId));
    const words = refusal('kms:ScheduleKeyDeletion', key.Arn, 'with an explicit deny in an identity-based policy');
    await refuses(t, schedule(key.KeyId), 'AccessDeniedException', words);
  });
});

test('the policy of the key has its part', async (t) => {
  const { app, may, create, refusal, notAllowed } = await startWithRole(t);
  const principals = (AWS: unknown, statement: object = allow('kms:*')) => ({ ...statement, Principal: { AWS } });
  const keyWith = (...Statement: object[]) =>
    create({ Policy: JSON.stringify({ Version: '2012-10-17', Statement }), BypassPolicyLockoutSafetyCheck: true });
  const root = `arn:aws:iam::${account}:root`;
  const describe = (KeyId: string) => app.send(new DescribeKeyCommand({ KeyId }));

  t.test('it leaves to IAM what it lets the account do', async (t) => {
    const { KeyId, Arn } = await keyWith(principals(root, allow('kms:Describe*')));
    await may(allow('kms:*'));
    await t.resolves(describe(KeyId));
    const words = refusal(
      'kms:GetKeyPolicy',
      Arn,
      'because no resource-based policy allows the kms:GetKeyPolicy action',
    );
    await refuses(t, app.send(new GetKeyPolicyCommand({ KeyId })), 'AccessDeniedException', words);
    await may();
    await notAllowed(describe(KeyId), 'kms:DescribeKey', Arn);
  });

  t.test('who is named may, without IAM', async (t) => {
    await may();
    for (const principal of [role, session, '*', [`arn:aws:iam::${account}:role/x`, role]]) {
      await t.resolves(describe((await keyWith(principals(principal))).KeyId), String(principal));
    }
    await may(deny('kms:DescribeKey'));
    const { KeyId, Arn } = await keyWith(principals(role));
    const words = refusal('kms:DescribeKey', Arn, 'with an explicit deny in an identity-based policy');
    await refuses(t, describe(KeyId), 'AccessDeniedException', words);
  });

  t.test('who is denied may not', async (t) => {
    await may(allow('kms:*'));
    for (const statement of [
      principals(role, deny('kms:Describe*')),
      principals(root, deny('kms:DescribeKey')),
      { ...deny('kms:DescribeKey'), NotPrincipal: { AWS: `arn:aws:iam::${account}:role/x` } },
    ]) {
      const { KeyId, Arn } = await keyWith(principals(root), statement);
      const words = refusal('kms:DescribeKey', Arn, 'with an explicit deny in a resource-based policy');
      await refuses(t, describe(KeyId), 'AccessDeniedException', words);
    }
  });
});

test('operations that need more than one permission', async (t) => {
  const { app, may, create, kms, notAllowed } = await startWithRole(t);
  const Tags = [{ TagKey: 'a', TagValue: '1' }];
  const key = await create({ MultiRegion: true });

  t.test('CreateKey with tags and of a multi-Region key', async (t) => {
    await may(allow('kms:CreateKey'));
    await t.resolves(app.send(new CreateKeyCommand({})));
    await notAllowed(app.send(new CreateKeyCommand({ Tags })), 'kms:TagResource', null);
    await may(allow('kms:CreateKey'), allow('kms:TagResource', '*', { StringLike: { 'aws:ResourceTag/a': '*' } }));
    await notAllowed(app.send(new CreateKeyCommand({ Tags })), 'kms:TagResource', null);
    await may(allow('kms:CreateKey'), allow('kms:TagResource', '*', { StringLike: { 'aws:RequestTag/a': '*' } }));
    await t.resolves(app.send(new CreateKeyCommand({ Tags })));
    const linkedRole = `arn:aws:iam::${account}:role/aws-service-role/mrk.kms.amazonaws.com/AWSServiceRoleForKeyManagementServiceMultiRegionKeys`;
    const multiRegion = () => app.send(new CreateKeyCommand({ MultiRegion: true }));
    await notAllowed(multiRegion(), 'iam:CreateServiceLinkedRole', linkedRole);
    await may(allow(['kms:CreateKey', 'iam:CreateServiceLinkedRole']));
    await t.resolves(multiRegion());
    await may(allow('kms:CreateKey', '*', { StringEquals: { 'kms:KeySpec': 'HMAC_256' } }));
    await t.resolves(app.send(new CreateKeyCommand({ KeySpec: 'HMAC_256', KeyUsage: 'GENERATE_VERIFY_MAC' })));
    await notAllowed(app.send(new CreateKeyCommand({})), 'kms:CreateKey', '*');
  });

  t.test('aliases: on the alias and on each key', async (t) => {
    const alias = `arn:aws:kms:us-east-1:${account}:alias/b`;
    const named = new CreateAliasCommand({ AliasName: 'alias/b', TargetKeyId: key.KeyId });
    await may(allow('kms:CreateAlias', key.Arn));
    await notAllowed(app.send(named), 'kms:CreateAlias', alias);
    await may(allow('kms:CreateAlias', alias));
    await notAllowed(app.send(named), 'kms:CreateAlias', key.Arn);
    await may(allow('kms:CreateAlias', [alias, key.Arn]));
    await t.resolves(app.send(named));
    const another = await create();
    await may(allow('kms:UpdateAlias', [alias, another.Arn]));
    const moved = new UpdateAliasCommand({ AliasName: 'alias/b', TargetKeyId: another.KeyId });
    await notAllowed(app.send(moved), 'kms:UpdateAlias', key.Arn);
    await notAllowed(app.send(new ListAliasesCommand({})), 'kms:ListAliases', '*');
  });

  t.test('ReplicateKey: on the primary key, and to create in the other Region', async (t) => {
    const replicate = () => app.send(new ReplicateKeyCommand({ KeyId: key.KeyId, ReplicaRegion: 'eu-west-1' }));
    await may(allow('kms:CreateKey'));
    await notAllowed(replicate(), 'kms:ReplicateKey', key.Arn);
    await may(allow('kms:ReplicateKey', key.Arn));
    await notAllowed(replicate(), 'kms:CreateKey', '*');
    await may(
      allow('kms:ReplicateKey', key.Arn, { StringEquals: { 'kms:ReplicaRegion': 'eu-west-1' } }),
      allow('kms:CreateKey', '*', { StringEquals: { 'aws:RequestedRegion': 'eu-west-1' } }),
    );
    await t.resolves(replicate());
  });

  t.test('a refused call changes nothing, and a refused read tells nothing', async (t) => {
    const before = (await kms.send(new ListKeysCommand({}))).Keys?.length;
    await may(allow('kms:Describe*'));
    await t.rejects(app.send(new CreateKeyCommand({})));
    await t.rejects(app.send(new EnableKeyCommand({ KeyId: key.KeyId })));
    await t.rejects(app.send(new ListResourceTagsCommand({ KeyId: key.KeyId })));
    t.equal((await kms.send(new ListKeysCommand({}))).Keys?.length, before);
  });
});

test('tagging and STS', async (t) => {
  const { may, url, credentials, notAllowed, roles } = await startWithRole(t);
  const tagging = new ResourceGroupsTaggingAPIClient({ endpoint: url, region: 'us-east-1', credentials });
  t.teardown(() => tagging.destroy());
  const sts = roles.sts(credentials);
  const assume = (RoleArn: string) => sts.send(new AssumeRoleCommand({ RoleArn, RoleSessionName: 'deep' }));
  const denied = { name: 'AccessDenied', $metadata: { httpStatusCode: 403 } };
  await may();
  await notAllowed(tagging.send(new GetResourcesCommand({})), 'tag:GetResources', null);
  t.match(await sts.send(new GetCallerIdentityCommand({})), { Arn: session }, 'needs no permission');
  const [ours, theirs] = [`arn:aws:iam::${account}:role/other`, 'arn:aws:iam::444455556666:role/other'];
  for (const arn of [ours, theirs]) await t.rejects(assume(arn), denied);

  await may(allow('tag:GetResources'), allow('sts:AssumeRole', 'arn:aws:iam::*:role/other'));
  await t.resolves(tagging.send(new GetResourcesCommand({})));
  for (const arn of [ours, theirs]) await t.resolves(assume(arn));
  await t.rejects(assume(role), denied);

  await may();
  await roles.register({ arn: ours, trust: { principals: role } });
  await roles.register({ arn: theirs, trust: { principals: role } });
  await t.resolves(assume(ours), 'a role that trusts another of its account by name needs nothing from its policies');
  await t.rejects(assume(theirs), denied, 'from another account both have to permit');
});

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
  TagResourceCommand,
  UntagResourceCommand,
  UpdateAliasCommand,
} from '@aws-sdk/client-kms';
import { GetResourcesCommand, ResourceGroupsTaggingAPIClient } from '@aws-sdk/client-resource-groups-tagging-api';
import { AssumeRoleCommand, GetCallerIdentityCommand } from '@aws-sdk/client-sts';
import { type Test, test } from 'tap';
import { account, createKey, keyArn, refuses, startKms, unknownId } from '../support/local-kms.ts';
import { rolesOf } from '../support/sts.ts';

const role = `arn:aws:iam::${account}:role/app`;
const session = `arn:aws:sts::${account}:assumed-role/app/test`;
const allow = (Action: unknown, Resource: unknown = '*', Condition?: object) => ({
  Effect: 'Allow',
  Action,
  Resource,
  ...(Condition === undefined ? {} : { Condition }),
});
const deny = (Action: unknown, Resource: unknown = '*', Condition?: object) => ({
  ...allow(Action, Resource, Condition),
  Effect: 'Deny',
});

/** A local KMS with a role that may do what is said last. */
async function startWithRole(t: Test) {
  const started = await startKms(t);
  const roles = rolesOf(t, started.url);
  const may = async (...Statement: object[]) => {
    const { status, body } = await roles.register({ arn: role, policies: [{ Version: '2012-10-17', Statement }] });
    t.equal(status, 200, JSON.stringify(body));
  };
  const credentials = await roles.assume(role);
  const app = roles.kms(credentials);
  const refusal = (action: string, resource: string | null, reason: string) =>
    `User: ${session} is not authorized to perform: ${action}${resource === null ? '' : ` on resource: ${resource}`} ${reason}`;
  /** Holds that no policy of the role allows an action. */
  const notAllowed = (call: Promise<unknown>, action: string, resource: string | null) =>
    refuses(
      t,
      call,
      'AccessDeniedException',
      refusal(action, resource, `because no identity-based policy allows the ${action} action`),
    );
  return { ...started, roles, may, app, credentials, refusal, notAllowed };
}

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

  t.test('a key that is not there is one, whatever is allowed', async (t) => {
    await may();
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

test('conditions', async (t) => {
  const { app, may, create, client, kms } = await startWithRole(t);
  const tag = (TagKey: string, TagValue = '') => ({ TagKey, TagValue });
  const key = await create({
    Tags: [tag('team', 'pay'), tag('Env', 'prod')],
    KeySpec: 'RSA_2048',
    KeyUsage: 'SIGN_VERIFY',
  });
  await kms.send(new CreateAliasCommand({ AliasName: 'alias/pay/a', TargetKeyId: key.KeyId }));
  const plain = await create();
  const denied = (t: Test, call: Promise<unknown>) => refuses(t, call, 'AccessDeniedException');

  t.test('on the key', async (t) => {
    const conditions: [condition: object, key: boolean, plain: boolean][] = [
      [{ StringEquals: { 'aws:ResourceTag/team': 'pay' } }, true, false],
      [{ StringEquals: { 'aws:resourcetag/TEAM': ['x', 'pay'] } }, true, false],
      [{ StringEquals: { 'aws:ResourceTag/team': 'PAY' } }, false, false],
      [{ StringEqualsIgnoreCase: { 'aws:ResourceTag/team': 'PAY' } }, true, false],
      [{ StringNotEquals: { 'aws:ResourceTag/team': 'pay' } }, false, true],
      [{ StringEqualsIfExists: { 'aws:ResourceTag/team': 'pay' } }, true, true],
      [{ StringLike: { 'aws:ResourceTag/team': 'p?*' } }, true, false],
      [{ StringNotLike: { 'aws:ResourceTag/team': 'p*' } }, false, true],
      [{ Null: { 'aws:ResourceTag/team': 'true' } }, false, true],
      [{ Null: { 'aws:ResourceTag/team': false } }, true, false],
      [{ StringEquals: { 'aws:ResourceTag/team': 'pay', 'aws:ResourceTag/Env': 'test' } }, false, false],
      [{ StringEquals: { 'kms:KeySpec': 'RSA_2048' }, StringLike: { 'kms:KeyUsage': 'SIGN*' } }, true, false],
      [{ StringEquals: { 'kms:KeySpec': 'SYMMETRIC_DEFAULT' } }, false, true],
      [{ StringEquals: { 'kms:KeyOrigin': 'AWS_KMS' }, Bool: { 'kms:MultiRegion': 'false' } }, true, true],
      [{ StringEquals: { 'kms:CallerAccount': account } }, true, true],
      [{ StringEquals: { 'kms:CallerAccount': '444455556666' } }, false, false],
      [{ StringEquals: { 'aws:RequestedRegion': 'us-east-1' } }, true, true],
      [{ ArnLike: { 'aws:PrincipalArn': `arn:aws:iam::${account}:role/*` } }, true, true],
      [{ 'ForAnyValue:StringLike': { 'kms:ResourceAliases': 'alias/pay/*' } }, true, false],
      [{ 'ForAllValues:StringLike': { 'kms:ResourceAliases': 'alias/pay/*' } }, true, true],
      [{ StringEquals: { 'kms:RequestAlias': 'alias/pay/a' } }, false, false],
    ];
    for (const [condition, onKey, onPlain] of conditions) {
      await may(allow('kms:DescribeKey', '*', condition));
      for (const [{ KeyId }, isAllowed] of [
        [key, onKey],
        [plain, onPlain],
      ] as const) {
        const call = app.send(new DescribeKeyCommand({ KeyId }));
        await (isAllowed ? t.resolves(call, JSON.stringify(condition)) : denied(t, call));
      }
    }
    await may(allow('kms:DescribeKey', '*', { StringEquals: { 'kms:RequestAlias': 'alias/pay/a' } }));
    await t.resolves(app.send(new DescribeKeyCommand({ KeyId: 'alias/pay/a' })));
  });

  t.test('on the request: tags that it has, names of tags', async (t) => {
    const put = (...Tags: object[]) => app.send(new TagResourceCommand({ KeyId: plain.KeyId, Tags: Tags as never }));
    const take = (...TagKeys: string[]) => app.send(new UntagResourceCommand({ KeyId: plain.KeyId, TagKeys }));
    await may(allow('kms:*Tag*', '*', { StringEquals: { 'aws:RequestTag/team': 'pay' } }));
    await t.resolves(put(tag('team', 'pay'), tag('other')));
    await denied(t, put(tag('team', 'x')));
    await denied(t, put(tag('other')));
    await may(allow('kms:*Tag*', '*', { 'ForAllValues:StringEquals': { 'aws:TagKeys': ['team', 'env'] } }));
    await t.resolves(put(tag('team'), tag('env')));
    await denied(t, put(tag('team'), tag('other')));
    await t.resolves(take('env'));
    await denied(t, take('env', 'other'));
    await may(allow('kms:*Tag*'), deny('*', '*', { 'ForAnyValue:StringLike': { 'aws:TagKeys': 'cost*' } }));
    await t.resolves(put(tag('other')));
    await denied(t, put(tag('other'), tag('cost:center')));
  });

  t.test('one that is not evaluated: in a key policy it allows nothing, and denies', async (t) => {
    await may(allow('kms:*'));
    const Condition = { IpAddress: { 'aws:SourceIp': '10.0.0.0/8' } };
    const root = { ...allow('kms:*'), Principal: { AWS: account } };
    const keyWith = async (...Statement: object[]) =>
      (await createKey(client(), { Policy: JSON.stringify({ Statement }), BypassPolicyLockoutSafetyCheck: true }))
        .KeyId;
    for (const [KeyId, isAllowed] of [
      [await keyWith(root), true],
      [await keyWith({ ...root, Condition }), false],
      [await keyWith(root, { ...root, Effect: 'Deny', Condition }), false],
    ] as const) {
      const call = app.send(new DescribeKeyCommand({ KeyId }));
      await (isAllowed ? t.resolves(call) : denied(t, call));
    }
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

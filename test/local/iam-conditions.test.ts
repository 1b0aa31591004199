import { CreateAliasCommand, DescribeKeyCommand, TagResourceCommand, UntagResourceCommand } from '@aws-sdk/client-kms';
import { type Test, test } from 'tap';
import { account, createKey, refuses } from '../support/local-kms.ts';
import { allow, deny, startWithRole } from '../support/role.ts';

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

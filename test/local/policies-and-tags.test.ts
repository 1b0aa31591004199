import {
  CreateKeyCommand,
  GetKeyPolicyCommand,
  ListKeyPoliciesCommand,
  ListResourceTagsCommand,
  PutKeyPolicyCommand,
  TagResourceCommand,
  UntagResourceCommand,
} from '@aws-sdk/client-kms';
import { test } from 'tap';
import { account, refuses, startKms } from '../support/local-kms.ts';
import { caller } from '../support/service.ts';

const root = { Effect: 'Allow', Principal: { AWS: `arn:aws:iam::${account}:root` }, Action: 'kms:*', Resource: '*' };
const policyOf = (...statements: object[]) => JSON.stringify({ Version: '2012-10-17', Statement: statements });
const malformed = 'MalformedPolicyDocumentException';

test('policies', async (t) => {
  const { kms, create, url } = await startKms(t);
  const { KeyId } = await create();
  const put = (Policy: string) => kms.send(new PutKeyPolicyCommand({ KeyId, Policy }));

  t.test('a policy comes back as JSON text with white space of its own', async (t) => {
    const Policy = policyOf({ Sid: 'a', ...root });
    await put(Policy);
    const held = (await kms.send(new GetKeyPolicyCommand({ KeyId }))).Policy ?? '';
    t.same(JSON.parse(held), JSON.parse(Policy));
    t.not(held, Policy);
  });

  t.test('a principal in a policy must exist', async (t) => {
    for (const principal of [
      `arn:aws:iam::${account}:role/missing-role`,
      `arn:aws:iam::${account}:user/missing-user`,
      'somebody',
      'arn:aws:s3:::bucket',
    ]) {
      const Policy = policyOf(root, { ...root, Principal: { AWS: principal } });
      await refuses(t, put(Policy), malformed, 'Policy contains a statement with one or more invalid principals.');
      await refuses(t, kms.send(new CreateKeyCommand({ Policy })), malformed);
    }
    for (const principal of [account, `arn:aws:iam::${account}:role/team/app`, 'AROAEXAMPLE1234567890', '*']) {
      await t.resolves(put(policyOf(root, { ...root, Principal: { AWS: principal } })), principal);
    }
    await t.resolves(put(policyOf(root, { ...root, Principal: { Service: 'logs.amazonaws.com' } })));
  });

  t.test('the lockout check sees who may PutKeyPolicy', async (t) => {
    const lockout = 'The new key policy will not allow you to update the key policy in the future.';
    for (const statement of [
      { ...root, Action: ['kms:Get*', 'kms:Decrypt'] },
      { ...root, Effect: 'Deny' },
      { ...root, Principal: { AWS: 'arn:aws:iam::444455556666:root' } },
      { ...root, Condition: { StringEquals: { 'aws:PrincipalTag/team': 'x' } } },
    ]) {
      await refuses(t, put(policyOf(statement)), malformed, lockout);
    }
    for (const Action of ['kms:*', '*', 'kms:Put*', ['kms:Decrypt', 'KMS:PUTKEYPOLICY']]) {
      await t.resolves(put(policyOf({ ...root, Action })), String(Action));
    }
  });

  t.test('condition keys that are not for key policies', async (t) => {
    const words =
      'These condition keys are not permitted in a key policy: aws:ResourceTag, kms:ResourceTag, kms:ResourceAliases';
    for (const key of ['aws:ResourceTag/team', 'kms:resourcealiases']) {
      const statement = { ...root, Condition: { StringEquals: { [key]: 'x' } } };
      await refuses(t, put(policyOf(root, statement)), malformed, words);
    }
  });

  t.test('what is no policy', async (t) => {
    for (const Policy of [
      '{',
      '[]',
      '"x"',
      '{}',
      policyOf({ ...root, Effect: 'Maybe' }),
      policyOf({ ...root, Extra: 1 }),
    ]) {
      await refuses(t, put(Policy), malformed);
    }
  });

  t.test('a policy of at most 32 KB, a resource quota', async (t) => {
    const sized = (bytes: number) =>
      policyOf({ Sid: 'x'.repeat(bytes - policyOf({ Sid: '', ...root }).length), ...root });
    await t.resolves(put(sized(32_768)));
    await refuses(t, put(sized(32_769)), 'LimitExceededException');
  });

  t.test('a deleted principal in a policy turns into its unique id', async (t) => {
    for (const [arn, id] of [
      [`arn:aws:iam::${account}:role/app`, /^AROA[A-Z0-9]{17}$/],
      [`arn:aws:iam::${account}:user/ann`, /^AIDA[A-Z0-9]{17}$/],
    ] as const) {
      await put(policyOf(root, { ...root, Principal: { AWS: arn } }));
      const { body } = await caller(url)<{ unique_id: string }>('POST', '/_local/deleted-principals', { arn });
      t.match(body.unique_id, id);
      const { Policy = '' } = await kms.send(new GetKeyPolicyCommand({ KeyId }));
      t.same(JSON.parse(Policy).Statement[1].Principal, { AWS: body.unique_id });
    }
    t.equal((await caller(url)('POST', '/_local/deleted-principals', { arn: 'x' })).status, 400);
  });

  t.test('the only policy is called default', async (t) => {
    t.same((await kms.send(new ListKeyPoliciesCommand({ KeyId }))).PolicyNames, ['default']);
    await refuses(t, kms.send(new GetKeyPolicyCommand({ KeyId, PolicyName: 'other' })), 'NotFoundException');
  });
});

test('tags', async (t) => {
  const { kms, create } = await startKms(t);
  const { KeyId } = await create({ Tags: [{ TagKey: 'kept', TagValue: '1' }] });
  const tags = async () => (await kms.send(new ListResourceTagsCommand({ KeyId }))).Tags;
  await kms.send(
    new TagResourceCommand({
      KeyId,
      Tags: [
        { TagKey: 'cost:center', TagValue: 'ä_.:/=+-@ 1' },
        { TagKey: 'kept', TagValue: '2' },
      ],
    }),
  );
  const kept = { TagKey: 'kept', TagValue: '2' };
  t.same(await tags(), [kept, { TagKey: 'cost:center', TagValue: 'ä_.:/=+-@ 1' }], 'replaced in place, or added');
  await kms.send(new UntagResourceCommand({ KeyId, TagKeys: ['cost:center', 'never there'] }));
  t.same(await tags(), [kept]);
  for (const [tag, error] of [
    [{ TagKey: '', TagValue: '' }, 'ValidationException'],
    [{ TagKey: 'n'.repeat(129), TagValue: '' }, 'ValidationException'],
    [{ TagKey: 'a;b', TagValue: '' }, 'TagException'],
    [{ TagKey: 'a', TagValue: '<b>' }, 'TagException'],
  ] as const) {
    await refuses(t, kms.send(new TagResourceCommand({ KeyId, Tags: [tag] })), error);
  }
  t.same(await tags(), [kept], 'a refused call changes nothing');
});

import fc from 'fast-check';
import { test } from 'tap';
import { isRendering, mayBeRendered } from '../../src/domain/policy-form.ts';
import type { Json } from '../../src/domain/types.ts';

const role = 'arn:aws:iam::111122223333:role/path/app';
const user = 'arn:aws:iam::111122223333:user/ann';
const session = 'arn:aws:sts::111122223333:assumed-role/app/web';
const [aroa, aida] = ['AROAEXAMPLEID1234', 'AIDAEXAMPLEID1234'];
const root = 'arn:aws:iam::111122223333:root';
const allow = (AWS: Json, rest: object = {}) => ({
  Effect: 'Allow',
  Principal: { AWS },
  Action: 'kms:*',
  Resource: '*',
  ...rest,
});
const of = (...Statement: Json[]) => ({ Version: '2012-10-17', Statement });
const is = (declared: Json[], rendered: Json[]) => isRendering(of(...declared), of(...rendered), 'aws');

test('how KMS may write the principals of a policy', async (t) => {
  t.ok(is([allow(role)], [allow(aroa)]));
  t.ok(is([allow([user, root, role])], [allow([aroa, '111122223333', aida])]));
  t.ok(is([allow(session)], [allow(role)]));
  t.ok(is([allow(session)], [allow([`${aroa}:web`])]));
  t.ok(is([allow(root), allow([role])], [allow(root), allow(aroa)]));
  t.notOk(is([allow(role)], [allow(role)]), 'it is the policy itself');
});

test('what means another thing to IAM is no way to write it', async (t) => {
  const condition = { Condition: { StringEquals: { 'kms:ViaService': ['s3.us-east-1.amazonaws.com'] } } };
  const emptied = { Condition: { StringEquals: { 'kms:ViaService': [] } } };
  t.notOk(is([allow(role)], [allow(aida)]), 'a user for a role');
  t.notOk(is([allow(root)], [allow(aroa)]));
  t.notOk(is([allow(role)], [allow('arn:aws:iam::111122223333:role/other')]));
  t.notOk(is([allow(session)], [allow('arn:aws:iam::444455556666:role/app')]), 'of another account');
  t.notOk(is([allow(role)], [allow([aroa, 'AROAEXAMPLEID5678'])]), 'one more');
  t.notOk(is([allow([role, root])], [allow(aroa)]), 'one less');
  t.notOk(is([allow([role])], [allow([])]), 'emptied');
  t.notOk(is([allow(role, condition)], [allow(aroa, emptied)]), 'a condition emptied');
  t.notOk(is([allow(role, condition)], [allow(aroa)]), 'a condition gone');
  t.notOk(is([allow(role)], [allow(aroa), allow('*')]), 'a statement more');
  t.notOk(is([allow(role)], [{ ...allow(aroa), Action: 'kms:Decrypt' }]));
});

test('only a policy that names users, roles or sessions is read back', async (t) => {
  for (const name of [role, user, session]) t.ok(mayBeRendered(of(allow(root), allow([root, name]))), name);
  for (const name of [root, '111122223333', '*', aroa]) t.notOk(mayBeRendered(of(allow(name))), name);
  t.notOk(mayBeRendered({}));
});

test('any policy at all can be asked about', async () => {
  const any = fc.jsonValue({ maxDepth: 5 }) as fc.Arbitrary<Json>;
  const policy = fc.oneof(any, fc.record({ Effect: any, Principal: fc.oneof(any, fc.record({ AWS: any })) }));
  fc.assert(
    fc.property(policy as fc.Arbitrary<Json>, policy as fc.Arbitrary<Json>, (first, second) => {
      isRendering({ Statement: first }, { Statement: second }, 'aws');
      return (
        typeof mayBeRendered({ Statement: first }) === 'boolean' &&
        !isRendering({ Statement: first }, { Statement: first }, 'aws')
      );
    }),
    { numRuns: 200 },
  );
});

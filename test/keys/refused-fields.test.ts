import { test } from 'tap';
import { ownPolicy } from '../support/kms-truth.ts';
import { type Problem, startService } from '../support/service.ts';

const allow = (Principal: unknown) => ({ Effect: 'Allow', Principal, Action: 'kms:Decrypt', Resource: '*' });
const withOwn = (...more: object[]) => ({ ...ownPolicy('Mine'), Statement: [...ownPolicy('Mine').Statement, ...more] });

test('a refusal names the field, and what would be changed in silence is refused', async (t) => {
  const { call, control } = await startService(t, { PROPAGATION_SECONDS: '0', SETTLE_SECONDS: '0' });
  const role = (name: string) => `arn:aws:iam::111122223333:role/${name}`;
  const errors = ({ body }: { body: Problem }) => body.errors?.map(({ pointer }) => pointer);

  t.test("KMS's refusal names the field, and a principal that it does not know", async (t) => {
    const fresh = withOwn(allow({ AWS: [role('missing-a'), role('known')] }));
    const create = await call<Problem>('POST', '/v1/keys', { policy: fresh });
    t.match(create, { status: 422, body: { errors: [{ pointer: '/policy' }] } });
    t.match(create.body.errors?.[0]?.detail, new RegExp(`one of .*${role('missing-a')}, ${role('known')}`));
    const { body: key } = await call('POST', '/v1/keys', { policy: withOwn(allow({ AWS: role('known') })) });
    const patch = await call<Problem>('PATCH', `/v1/keys/${key.id}`, { policy: fresh });
    t.match(patch, {
      status: 422,
      body: { errors: [{ pointer: '/policy' }], kms_error: { operation: 'PutKeyPolicy' } },
    });
    t.equal(patch.body.errors?.[0]?.detail, `KMS knows no such principal: ${role('missing-a')}.`);
    await control.fault({ operation: 'TagResource', kind: 'error', type: 'TagException', message: 'Too many tags' });
    const tagged = await call<Problem>('PATCH', `/v1/keys/${key.id}`, { tags: { a: '1' } });
    t.match(tagged, { status: 422, body: { errors: [{ pointer: '/tags', detail: /Too many tags/ }] } });
    t.match((await call('GET', `/v1/keys/${key.id}`)).body, { tags: {}, status: { state: 'in_sync' } });
  });

  t.test('a duplicate member and a large integer are refused with their place, in any body', async (t) => {
    const duplicate = '{"policy":{"Statement":[{"Effect":"Deny","Effect":"Allow"}]}}';
    const large =
      '{"policy":{"Statement":{"Condition":{"NumericLessThan":{"aws:MultiFactorAuthAge":9007199254740993}}}}}';
    const twice = await call<Problem>('POST', '/v1/keys', duplicate);
    t.match(twice, { status: 422, body: { type: '/problems/invalid-input' } });
    t.same(errors(twice), ['/policy/Statement/0/Effect']);
    t.same(errors(await call<Problem>('POST', '/v1/keys', large)), [
      '/policy/Statement/Condition/NumericLessThan/aws:MultiFactorAuthAge',
    ]);
    const provider = '{"name":"x","region":"eu-west-1","default_tags":{"a":"1","a":"2"}}';
    t.same(errors(await call<Problem>('POST', '/v1/providers', provider)), ['/default_tags/a']);
  });

  t.test('a principal that is no string is refused with its place', async (t) => {
    const policy = withOwn(allow({ AWS: ['111122223333', 111122223333] }), allow(1), allow({ Service: null }));
    const answer = await call<Problem>('POST', '/v1/keys', { policy });
    t.equal(answer.status, 422);
    t.same(errors(answer), [
      '/policy/Statement/1/Principal/AWS/1',
      '/policy/Statement/2/Principal',
      '/policy/Statement/3/Principal/Service',
    ]);
  });
});

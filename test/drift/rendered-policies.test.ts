import { GetKeyPolicyCommand } from '@aws-sdk/client-kms';
import { test } from 'tap';
import { ownPolicy } from '../support/kms-truth.ts';
import { caller, eventually, startService } from '../support/service.ts';

const account = 'arn:aws:iam::111122223333';
const use = (AWS: string, rest: object = {}) => {
  const own = ownPolicy('Mine');
  const theirs = { Effect: 'Allow', Principal: { AWS }, Action: 'kms:Decrypt', Resource: '*', ...rest };
  return { ...own, Statement: [...own.Statement, theirs] };
};

test('a policy that KMS writes otherwise than it was declared', async (t) => {
  const { call, kms, kmsUrl, control } = await startService(t, { SETTLE_SECONDS: '0', REFRESH_INTERVAL_SECONDS: '1' });
  const render = (...policy_rendering: string[]) => control.settings({ policy_rendering });
  const get = async (id: string) => (await call('GET', `/v1/keys/${id}`)).body;
  const looks = async (id: string, count: number) => {
    let last = '';
    let seen = 0;
    await eventually('it is looked at', async () => {
      const { last_observed_at: at } = (await get(id)).status;
      if (at !== null && at !== last) seen += 1;
      last = at ?? '';
      return seen > count;
    });
  };

  for (const drift_policy of ['enforce', 'report', 'adopt']) {
    t.test(`is written once and is no drift, under ${drift_policy}`, async (t) => {
      await render('unique_ids', 'roles_of_sessions', 'numbers_as_texts', 'texts_for_lists_of_one');
      const Condition = { NumericLessThan: { 'aws:MultiFactorAuthAge': 3600 } };
      const policy = use(`${account}:role/app`, { Condition });
      const { body: key } = await call('POST', '/v1/keys', { policy, drift_policy });
      const read = await kms.send(new GetKeyPolicyCommand({ KeyId: key.key_id ?? '' }));
      t.match(read.Policy, /AROA/);
      await control.clear();
      await looks(key.id, 3);
      const now = await get(key.id);
      t.match(now.status, { state: 'in_sync', drift: [], error: null, generation: 1 });
      t.same(now.policy, policy, 'what was asked for stays declared');
      t.same(await control.calls(), []);
      const { body: planned } = await call<{ steps: object[] }>('POST', `/v1/keys/${key.id}/plan`, { policy });
      t.same(planned.steps, []);

      const session = use('arn:aws:sts::111122223333:assumed-role/app/web');
      const { body: changed } = await call('PATCH', `/v1/keys/${key.id}`, { policy: session });
      t.match(changed.status, { state: 'in_sync', drift: [], generation: 2 });
      await control.clear();
      await looks(key.id, 3);
      t.match((await get(key.id)).status, { state: 'in_sync', drift: [], generation: 2 });
      t.same(await control.calls(), [], 'the role of a session too');
      await render();
      await call('POST', `/v1/keys/${key.id}/release`);
    });
  }

  t.test('is drift when that changes later, and the id of a principal that is gone is none of it', async (t) => {
    const arn = `${account}:role/gone`;
    const { body: key } = await call('POST', '/v1/keys', { policy: use(arn), drift_policy: 'adopt' });
    await caller(kmsUrl)('POST', '/_local/deleted-principals', { arn });
    const refreshed = await call('POST', `/v1/keys/${key.id}/refresh`);
    t.match(refreshed.body.status, {
      state: 'drifted',
      drift: [{ field: 'policy', desired: [{ Principal: { AWS: arn } }] }],
    });
    await looks(key.id, 2);
    const now = await get(key.id);
    t.match([now.status.state, now.status.generation, now.policy], ['drifted', 1, use(arn)], 'nor is it adopted');
  });

  t.test('is written a few times where it flaps, and then reported with what differs', async (t) => {
    const Condition = { StringEquals: { 'kms:ViaService': ['s3.us-east-1.amazonaws.com'] } };
    const policy = use(`${account}:root`, { Condition });
    const { body: key } = await call('POST', '/v1/keys', { policy });
    await control.clear();
    await render('emptied_conditions', 'every_other_read');
    const reported = await eventually('it is reported', async () => {
      const { status } = await get(key.id);
      return status.error?.code === 'NoEffect' && status;
    });
    t.match(reported, { state: 'drifted', drift: [{ field: 'policy', desired: [{ Condition }] }] });
    t.match(reported.error, { retryable: true, message: /PutKeyPolicy.*policy/ });
    await looks(key.id, 12);
    const written = (await control.calls()).length;
    t.ok(written >= 1 && written <= 4, `${written} writes in a dozen looks`);
    await render();
    t.equal((await call('POST', `/v1/keys/${key.id}/sync`)).status, 200);
    await eventually('it is well', async () => (await get(key.id)).status.state === 'in_sync');
  });

  t.test('is drift, and told as such, where a list was emptied', async (t) => {
    await render('emptied_conditions');
    const Condition = { StringEquals: { 'kms:ViaService': ['s3.us-east-1.amazonaws.com'] } };
    const { body: key } = await call('POST', '/v1/keys', {
      policy: use(`${account}:role/app`, { Condition }),
      drift_policy: 'report',
    });
    const { body } = await call('POST', `/v1/keys/${key.id}/refresh`);
    t.match(body.status.drift, [
      { desired: [{ Condition }], observed: [{ Condition: { StringEquals: { 'kms:ViaService': [] } } }] },
    ]);
    await render();
  });
});

import { DisableKeyCommand, TagResourceCommand, UntagResourceCommand } from '@aws-sdk/client-kms';
import { test } from 'tap';
import { startBackends } from '../support/process.ts';
import { eventually, startService } from '../support/service.ts';

test('signs of a gap at start: silence, and another database than the one on record; the first start is none', async (t) => {
  const { databaseUrl: DATABASE_URL, kmsUrl: KMS_ENDPOINT } = await startBackends(t);
  const environment = { DATABASE_URL, KMS_ENDPOINT, SETTLE_SECONDS: '0', WRITE_DEADLINE_SECONDS: '6' };
  const [first, second] = await Promise.all([startService(t, environment), startService(t, environment)]);
  const { pool } = first.services.database;
  const gapOnRecord = async () => (await pool.query('SELECT gap, reason FROM installation')).rows[0];
  t.match(await gapOnRecord(), { gap: 0, reason: null });
  const { body: kept } = await first.call('POST', '/v1/keys', {});
  const { body: report } = await first.call('POST', '/v1/keys', { drift_policy: 'enforce' });
  await second.stopWork();
  const isOver = async () => !(await first.call<{ held: boolean }>('GET', '/v1/recovery')).body.held;
  let gap = 0;
  for (const [sign, change, resumeGap] of [
    ['gave a sign of life for 6', "alive_at = now() - interval '11 minutes'", '600'],
    ['a dump was loaded', "tables = '1/1'", '0'],
    ['another cluster', "system_identifier = '1'", '0'],
    ['timeline', "timeline = '0000000F'", '0'],
  ] as const) {
    // The services that live would give signs of life between this and the start.
    await pool.query(`UPDATE workers SET heartbeat_at = now()`);
    const joined = eventually(sign, async () => {
      await pool.query(`UPDATE installation SET ${change} WHERE gap = $1`, [gap]);
      return (await gapOnRecord()).gap > gap;
    });
    await startService(t, { ...environment, RESUME_GAP_SECONDS: resumeGap });
    await joined;
    const marked = await gapOnRecord();
    t.match(marked.reason, new RegExp(sign));
    t.ok(marked.gap > gap, 'no number comes twice');
    gap = marked.gap;
    await eventually('keys that are as recorded go on by themselves', isOver);
  }
  await first.kms.send(new DisableKeyCommand({ KeyId: report.key_id ?? '' }));
  await first.control.clear();
  await pool.query("UPDATE installation SET tables = '1/1'");
  await eventually('the change is seen', async () => {
    const { body } = await first.call<{ keys_checked: number; keys_differing: number }>('GET', '/v1/recovery');
    return body.keys_checked === 2 && body.keys_differing === 1;
  });
  t.same(await first.control.calls(), [], 'drift of before the gap is not put right unasked');
  t.equal((await first.call('POST', `/v1/keys/${report.id}/sync`)).status, 200, 'asked by name, it is');
  t.match(
    (await first.control.calls()).map(({ operation }) => operation),
    ['EnableKey'],
  );
  t.match((await first.call('GET', `/v1/keys/${kept.id}`)).body.status, { held: false });
  t.ok(await isOver());
});

test('a key whose look KMS refused before a gap is compared as soon as the others', async (t) => {
  const { databaseUrl: DATABASE_URL, kmsUrl: KMS_ENDPOINT } = await startBackends(t);
  const { call, control, services } = await startService(t, { DATABASE_URL, KMS_ENDPOINT, SETTLE_SECONDS: '0' });
  const { body: key } = await call('POST', '/v1/keys', {});
  const recovery = async () => (await call<{ held: boolean; keys_checked: number }>('GET', '/v1/recovery')).body;
  const refused = {
    operation: 'GetKeyPolicy',
    kind: 'error',
    type: 'ValidationException',
    message: 'No.',
    times: null,
  };
  await control.fault(refused);
  const { body: told } = await call('POST', `/v1/keys/${key.id}/refresh`);
  const next = Date.parse(told.status.error?.next_attempt_at ?? '');
  t.ok(next > Date.now() + 300_000, 'it would be ten minutes until the next look');
  await services.database.pool.query("UPDATE installation SET tables = '1/1'");
  const reads = async () => (await control.calls({ reads: true })).filter((call) => call.operation === 'GetKeyPolicy');
  await control.clear();
  await eventually('it is tried', async () => (await reads()).length > 0);
  const soon = await eventually('it says when it is tried again', async () => {
    const { status } = (await call('GET', `/v1/keys/${key.id}`)).body;
    const at = Date.parse(status.error?.next_attempt_at ?? '');
    return at !== next && at;
  });
  t.ok(soon < Date.now() + 80_000, 'which is soon');
  await control.clearFaults();
  await eventually('it goes on', async () => !(await recovery()).held);
});

test('commits that are lost right after they were made are missed', async (t) => {
  const { call, services } = await startService(t, { RESUME_GAP_SECONDS: '600' });
  const { pool } = services.database;
  const { body: key } = await call('POST', '/v1/keys', {});
  const beat = async () =>
    (await pool.query<{ at: string }>('SELECT max(heartbeat_at)::text AS at FROM workers')).rows[0]?.at;
  const before = await beat();
  await eventually('a sign of life is given', async () => (await beat()) !== before);
  const last = (await pool.query('SELECT max(seq) AS seq FROM events')).rows[0].seq;
  t.equal((await call('PATCH', `/v1/keys/${key.id}`, { description: 'lost' })).status, 200);
  // The next sign of life is two seconds after the last one.
  await new Promise((resolve) => setTimeout(resolve, 500));
  await pool.query('ALTER TABLE events DISABLE TRIGGER events_append_only');
  await pool.query('DELETE FROM events WHERE seq > $1', [last]);
  await eventually(
    'the loss is noticed',
    async () => {
      const { rows } = await pool.query('SELECT reason FROM installation');
      return /the last event went back/.test(rows[0].reason);
    },
    20_000,
  );
});

test('a key whose state in KMS can not be declared holds up no other when all are resumed', async (t) => {
  const { databaseUrl: DATABASE_URL, kmsUrl: KMS_ENDPOINT } = await startBackends(t);
  const { call, kms, services } = await startService(t, { DATABASE_URL, KMS_ENDPOINT, SETTLE_SECONDS: '0' });
  await call('PATCH', '/v1/providers/default', { default_tags: { cost: 'shared' } });
  const [full, disabled] = await Promise.all([{}, {}].map(async (body) => (await call('POST', '/v1/keys', body)).body));
  const KeyId = full?.key_id ?? '';
  await kms.send(new UntagResourceCommand({ KeyId, TagKeys: ['cost'] }));
  const Tags = Array.from({ length: 49 }, (_, index) => ({ TagKey: `tag-${index}`, TagValue: 'x' }));
  await kms.send(new TagResourceCommand({ KeyId, Tags }));
  await kms.send(new DisableKeyCommand({ KeyId: disabled?.key_id ?? '' }));
  await services.database.pool.query("UPDATE installation SET tables = '1/1'");
  await eventually('both were compared', async () => {
    const { body } = await call<{ keys_differing: number }>('GET', '/v1/recovery');
    return body.keys_differing === 2;
  });
  const { status, body } = await call('POST', '/v1/recovery/resume', { keys: 'all', as: 'observed' });
  t.equal(status, 202);
  t.match(body, {
    resumed: 1,
    not_checked: 0,
    not_resumed: 1,
    refused: [{ id: full?.id, errors: [{ pointer: '/tags', detail: /50/ }] }],
  });
  t.match((await call('GET', `/v1/keys/${full?.id}`)).body.status, { held: true });
  t.match((await call('GET', `/v1/keys/${disabled?.id}`)).body, { is_enabled: false, status: { held: false } });
  t.match((await call('POST', '/v1/recovery/resume', { keys: 'all', as: 'declared' })).body, {
    resumed: 1,
    refused: [],
  });
});

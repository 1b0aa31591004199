import { ScheduleKeyDeletionCommand, TagResourceCommand } from '@aws-sdk/client-kms';
import { test } from 'tap';
import { makeKeys, recordKeys } from '../support/fleet.ts';
import { startBackends } from '../support/process.ts';
import { caller, eventually, startService, withMovedClock } from '../support/service.ts';

const startedLater = { REFRESH_INTERVAL_SECONDS: '86400' };

type Services = Awaited<ReturnType<typeof startService>>['services'];

const allDue = ({ database }: Services) => database.pool.query('UPDATE work SET due_at = now()');

async function countLeft({ database }: Services): Promise<number> {
  const { rows } = await database.pool.query<{ count: number }>(
    'SELECT count(*)::int AS count FROM work WHERE due_at <= now()',
  );
  return rows[0]?.count ?? 0;
}

test('a refresh reads each key once, whatever the number of workers, and mends what has drifted', async (t) => {
  const { databaseUrl, kmsUrl } = await startBackends(t);
  const environment = { ...startedLater, DATABASE_URL: databaseUrl, KMS_ENDPOINT: kmsUrl };
  const { services, call, kms, control } = await startService(t, environment);
  await startService(t, environment);
  const keys = await makeKeys(kms, 120);
  await recordKeys(services.database.pool, kmsUrl, keys);
  const [drifted, other] = keys;
  const Tags = [{ TagKey: 'added', TagValue: 'outside' }];
  await kms.send(new TagResourceCommand({ KeyId: drifted?.keyId, Tags }));
  const before = (await call('GET', `/v1/keys/${other?.id}`)).body;
  await control.clear();
  await allDue(services);
  await eventually('all are looked at', async () => (await countLeft(services)) === 0);
  await eventually('the drift is mended', async () => {
    const { body } = await call<{ items: { type: string }[] }>('GET', `/v1/keys/${drifted?.id}/events`);
    return body.items.some(({ type }) => type === 'drift.resolved');
  });
  const log = await control.calls({ reads: true });
  const reads = log.filter(({ operation }) => operation !== 'UntagResource' && operation !== 'GetCallerIdentity');
  const perKey = Map.groupBy(reads, ({ key_id }) => key_id);
  t.equal(perKey.size, 120);
  // A call that a slow machine let time out is repeated by the SDK.
  const asOften = (count: number) => [...perKey.values()].filter((calls) => calls.length === count).length;
  t.ok(asOften(4) > 90, `${asOften(4)} with four reads`);
  t.equal([...perKey.values()].filter((calls) => calls.length < 4 || calls.length > 7).length, 0);
  t.equal(log.filter(({ operation }) => operation === 'UntagResource').length, 1, 'one write');
  const after = (await call('GET', `/v1/keys/${other?.id}`)).body;
  t.same({ ...after, status: null }, { ...before, status: null });
  t.match(after.status, { state: 'in_sync', generation: 1, drift: [], error: null });
  t.ok((after.status.last_observed_at ?? '') > (before.status.last_observed_at ?? ''));
  const { rows } = await services.database.pool.query<{ spread: number }>(
    'SELECT extract(epoch FROM max(due_at) - min(due_at))::float8 AS spread FROM work',
  );
  t.ok((rows[0]?.spread ?? 0) > 3600, 'the next round is spread over a fifth of the interval');
});

test('a change goes before a refresh under way, also of a key that is in the hands of this process or another', async (t) => {
  const { databaseUrl, kmsUrl } = await startBackends(t);
  // GetKeyPolicy 5 a second, so that the refresh takes a minute, and a batch in hand more than a request waits.
  const environment = { ...startedLater, DATABASE_URL: databaseUrl, KMS_ENDPOINT: kmsUrl, QUOTA_SHARE: '0.005' };
  const { services, call, kms, control } = await startService(t, environment);
  await startService(t, environment);
  const keys = await makeKeys(kms, 300);
  await recordKeys(services.database.pool, kmsUrl, keys);
  await caller(kmsUrl)('PUT', '/_local/settings', { quotas: true, latency_milliseconds: 20 });
  await control.clear();
  await allDue(services);
  const keyInHand = () =>
    eventually('the refresh is under way', async () => {
      const { rows } = await services.database.pool.query<{ id: string }>(
        'SELECT id FROM keys JOIN work ON work.key_ref = keys.id WHERE lease_until > now() AND generation = 1 ORDER BY random() LIMIT 1',
      );
      return rows[0]?.id;
    });
  // What costs no write first: of those, one call is saved up.
  for (const body of [...Array(5).fill({ deletion_protection: true }), { description: 'at once' }]) {
    t.match(await call('PATCH', `/v1/keys/${await keyInHand()}`, body), { status: 200, body });
  }
  const left = await countLeft(services);
  t.ok(left > 30, `${left} keys are still waiting for their refresh`);
  const log = await control.calls({ reads: true });
  t.same(
    log.filter(({ error }) => error !== null),
    [],
    'not one throttling answer',
  );
});

test('a change goes before work on many keys that wait for the same operation', async (t) => {
  const { databaseUrl, kmsUrl } = await startBackends(t);
  const environment = { ...startedLater, DATABASE_URL: databaseUrl, KMS_ENDPOINT: kmsUrl, QUOTA_SHARE: '0.05' };
  const { services, call, kms, control } = await startService(t, environment);
  const keys = await makeKeys(kms, 40);
  await recordKeys(services.database.pool, kmsUrl, keys);
  await caller(kmsUrl)('PUT', '/_local/settings', { quotas: true });
  await control.clear();
  const ids = keys.slice(1).map(({ id }) => id);
  await services.database.pool.query(
    `WITH due AS (UPDATE work SET due_at = now() WHERE key_ref = ANY($1))
    UPDATE keys SET state = 'updating', tags_all = '{ "env": "prod" }' WHERE id = ANY($1)`,
    [ids],
  );
  const tagged = async () => (await control.calls()).filter(({ operation }) => operation === 'TagResource').length;
  await eventually('some are done, one each two seconds', async () => (await tagged()) >= 2);
  const before = await tagged();
  const [mine] = keys;
  const body = { tags: { team: 'payments' } };
  t.match(await call('PATCH', `/v1/keys/${mine?.id}`, body), { status: 200, body });
  const others = (await control.calls()).filter(({ key_id }) => key_id !== mine?.keyId).length - before;
  t.ok(others <= 5, `${others} others came first`);
  const { rows } = await services.database.pool.query<{ count: number }>(
    `SELECT count(*)::int AS count FROM keys WHERE state = 'updating'`,
  );
  t.ok((rows[0]?.count ?? 0) > 20, 'most are still waiting');
});

test('a key pending deletion, or failed, costs no more calls than the schedule says', async (t) => {
  const { call, kms, control, services } = await startService(t, { ...withMovedClock, REFRESH_INTERVAL_SECONDS: '1' });
  const create = async () => (await call('POST', '/v1/keys', { drift_policy: 'report' })).body;
  const [healthy, pending, lost] = [await create(), await create(), await create()];
  await kms.send(new ScheduleKeyDeletionCommand({ KeyId: lost.key_id ?? '', PendingWindowInDays: 7 }));
  await control.advanceClock(7 * 86_400 + 1);
  await eventually('the lost key fails', async () => {
    return (await call('GET', `/v1/keys/${lost.id}`)).body.status.state === 'failed';
  });
  const { body } = await call('DELETE', `/v1/keys/${pending.id}?deletion_window_in_days=30`);
  const date = Date.parse(body.status.deletion_date ?? '');
  await control.clear();
  for (let day = 1; day < 30; day += 1) await control.advanceClock(86_400);
  await eventually('the healthy key is looked at three times', async () => {
    const log = await control.calls({ reads: true });
    return log.filter(({ operation, key_id }) => operation === 'DescribeKey' && key_id === healthy.key_id).length >= 3;
  });
  const log = await control.calls({ reads: true });
  const callsOf = ({ key_id }: { key_id: string | null }) => log.filter((entry) => entry.key_id === key_id).length;
  t.equal(callsOf(pending), 0, 'in 30 days');
  t.equal(callsOf(lost), 0);
  t.ok(callsOf(healthy) <= 4 * 30);
  const { rows } = await services.database.pool.query<{ id: string; due_at: Date | null }>(
    'SELECT key_ref AS id, due_at FROM work WHERE key_ref = ANY($1)',
    [[pending.id, lost.id]],
  );
  const dueAt = (id: string) => rows.find((row) => row.id === id)?.due_at ?? null;
  const wait = (dueAt(pending.id)?.getTime() ?? 0) - date;
  t.ok(wait >= 0 && wait < 60_000, 'looked at when its date has come');
  t.ok((dueAt(lost.id)?.getTime() ?? 0) - Date.now() > 50 * 60_000, 'once an hour, and ever more seldom');
});

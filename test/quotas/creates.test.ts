import { test } from 'tap';
import { addToken, adminToken, callerWith, withTokens } from '../support/access.ts';
import { connectTo } from '../support/postgres.ts';
import { startBackends } from '../support/process.ts';
import { addProvider } from '../support/providers.ts';
import { caller, eventually, startService } from '../support/service.ts';

const many = 40;
const promptly = { prefer: 'respond-async' };

test('of many creates at once each is made in its turn, and no other change waits for them', async (t) => {
  const { databaseUrl: DATABASE_URL, kmsUrl: KMS_ENDPOINT } = await startBackends(t);
  await caller(KMS_ENDPOINT)('PUT', '/_local/settings', { quotas: true });
  const environment = { DATABASE_URL, KMS_ENDPOINT, QUOTA_SHARE: '0.8', SETTLE_SECONDS: '0' };
  const { call, control } = await startService(t, environment);
  await addProvider(call, { name: 'elsewhere', region: 'eu-west-1' });
  const { body: here } = await call('POST', '/v1/keys', {});
  const { body: there } = await call('POST', '/v1/keys', { provider: 'elsewhere' });
  await control.clear();
  const creations = async () => (await control.calls()).filter(({ operation }) => operation === 'CreateKey');
  const asked = Array.from({ length: many }, () => call('POST', '/v1/keys', {}, promptly));
  const ids = (await Promise.all(asked)).map(({ body }) => body.id);

  for (const id of [here.id, there.id]) {
    t.equal((await call('PATCH', `/v1/keys/${id}`, { description: 'new' }, { prefer: 'wait=60' })).status, 200);
    t.ok((await creations()).length < many, 'a change of another key is there before all of them');
  }
  await eventually('all are made', async () => {
    const { body } = await call<{ items: { id: string }[] }>('GET', '/v1/keys?state=in_sync&limit=200');
    const held = new Set(body.items.map(({ id }) => id));
    return ids.every((id) => held.has(id));
  });
  const made = await creations();
  t.equal(made.length, many);
  t.same(
    made.filter(({ error }) => error !== null),
    [],
    'KMS throttles none of them',
  );
});

test('one caller with many creates does not take the quota from another', async (t) => {
  const { databaseUrl: DATABASE_URL, kmsUrl: KMS_ENDPOINT } = await startBackends(t);
  await caller(KMS_ENDPOINT)('PUT', '/_local/settings', { quotas: { CreateKey: 5 } });
  const environment = { ...withTokens, DATABASE_URL, KMS_ENDPOINT, QUOTA_SHARE: '0.1', SETTLE_SECONDS: '0' };
  const { url, control } = await startService(t, environment);
  const admin = callerWith(url, adminToken);
  const [noisy, quiet] = [await addToken(admin, { role: 'editor' }), await addToken(admin, { role: 'editor' })];
  const creations = async () => (await control.calls()).filter(({ operation }) => operation === 'CreateKey');
  const asked = Array.from({ length: many }, () => callerWith(url, noisy.token)('POST', '/v1/keys', {}, promptly));
  for (const { status } of await Promise.all(asked)) t.ok(status < 300);
  const made = await callerWith(url, quiet.token)('POST', '/v1/keys', {}, { prefer: 'wait=60' });
  t.equal(made.status, 201);
  const all = await creations();
  const place = all.findIndex(({ parameters }) => JSON.stringify(parameters).includes(made.body.id));
  const since = Date.parse(made.body.created_at);
  const before = all.slice(0, place).filter(({ at }) => Date.parse(at) > since).length;
  t.ok(place >= 0 && before < many / 4, `${before} were made before it, once it was asked for`);
});

test('creates whose turns came while the database was busy go out no faster for that', async (t) => {
  const { databaseUrl: DATABASE_URL, kmsUrl: KMS_ENDPOINT } = await startBackends(t);
  await caller(KMS_ENDPOINT)('PUT', '/_local/settings', { quotas: { CreateKey: 6 } });
  const environment = { DATABASE_URL, KMS_ENDPOINT, QUOTA_SHARE: '1', SETTLE_SECONDS: '0' };
  const { call, control } = await startService(t, environment);
  await call('POST', '/v1/keys', {});
  await control.clear();
  const [locker, onlooker] = [await connectTo(t, DATABASE_URL), await connectTo(t, DATABASE_URL)];
  const asked = Array.from({ length: 60 }, () => call('POST', '/v1/keys', {}, promptly));
  await eventually('some are made', async () => (await control.calls()).length >= 10);
  await Promise.all(asked);
  await locker.query('BEGIN; LOCK TABLE kms_writes IN SHARE ROW EXCLUSIVE MODE');
  const waiting = "SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query ~ 'INSERT INTO kms_writes'";
  await eventually('many wait', async () => ((await onlooker.query(waiting)).rowCount ?? 0) >= 9);
  await locker.query('COMMIT');
  await eventually('all are in sync', async () => {
    const { body } = await call<{ items: object[] }>('GET', '/v1/keys?state=in_sync&limit=200');
    return body.items.length === 61;
  });
  t.same(
    (await control.calls()).filter(({ error }) => error !== null),
    [],
    'KMS throttles none of them',
  );

  await t.test('what is made takes no turns; what is due is found whatever its creator says', async (t) => {
    const withCreator = async () => (await onlooker.query('SELECT FROM work WHERE creator IS NOT NULL')).rowCount;
    t.equal(await withCreator(), 0);
    await onlooker.query("UPDATE work SET creator = 'somebody of before', due_at = now()");
    await eventually('all are looked at', async () => (await withCreator()) === 0);
  });
});

/** A change of a provider that has many keys, as rows alone, which nobody syncs. */
import { type Test, test } from 'tap';
import type { Provider } from '../../src/schemas/provider.ts';
import { connectTo } from '../support/postgres.ts';
import { startBackends, startProcess } from '../support/process.ts';
import { addProvider } from '../support/providers.ts';
import { type Call, eventually, type Problem, startService } from '../support/service.ts';

const provider = 'many';

/** Pending deletion: their tags change in the database alone. In the order of their ids each has a number. */
const insertMany = (count: number) => `
  WITH recorded AS (INSERT INTO keys (
    id, provider, description, key_usage, customer_master_key_spec, multi_region, bypass_policy_lockout_safety_check,
    deletion_window_in_days, is_enabled, enable_key_rotation, tags, tags_all, drift_policy, deletion_protection, lifecycle, state)
  SELECT ('00000000-0000-4000-8000-' || lpad(to_hex(number), 12, '0'))::uuid, '${provider}', number, 'ENCRYPT_DECRYPT',
    'SYMMETRIC_DEFAULT', false, false, 30, true, false, '{ "own": "1" }', '{ "own": "1" }', 'enforce', false,
    'pending_deletion', 'pending_deletion'
  FROM generate_series(1, ${count}) AS number RETURNING id, provider)
  INSERT INTO work (key_ref, provider) SELECT id, provider FROM recorded`;

type Counts = { all: number; along: number; twice: number };

async function connect(t: Test, connectionString: string) {
  const client = await connectTo(t, connectionString);
  return {
    client,
    /** How many keys have the tags of the change, and how many were written twice for it. */
    counts: async () => {
      const { rows } = await client.query<Counts>(
        `SELECT count(*)::int AS all, count(*) FILTER (WHERE tags_all @> '{ "env": "prod" }')::int AS along,
          count(*) FILTER (WHERE asked > 1)::int AS twice
        FROM keys JOIN work ON work.key_ref = keys.id WHERE lifecycle = 'pending_deletion'`,
      );
      return rows[0] as Counts;
    },
    /** Locks a key, so that a change that has to write it comes no further. @returns what lets it go. */
    hold: async (number: number) => {
      await client.query('BEGIN');
      await client.query(`SELECT 1 FROM keys WHERE provider = '${provider}' AND description = $1 FOR UPDATE`, [number]);
      return () => client.query('COMMIT');
    },
  };
}

const change = (call: Call, settings: object) =>
  call<Provider & Problem>('PATCH', `/v1/providers/${provider}`, settings);
const prod = { default_tags: { env: 'prod' } };

test('while a change goes through many keys, others of the provider are made, changed and read', async (t) => {
  const count = 20_000;
  const { databaseUrl: DATABASE_URL } = await startBackends(t);
  const { call } = await startService(t, { DATABASE_URL });
  await addProvider(call, { name: provider });
  const database = await connect(t, DATABASE_URL);
  const other = await connect(t, DATABASE_URL);
  await database.client.query(insertMany(count));
  const { body: key } = await call('POST', '/v1/keys', { provider, tags: { own: '2' } });

  const release = await database.hold(count / 2);
  const answer = change(call, prod);
  const progress = await eventually('it is under way', async () => {
    const { along } = await other.counts();
    return along > 0 && along;
  });
  t.ok(progress < count / 2, `${progress} keys are brought along`);
  const created = await call('POST', '/v1/keys', { provider });
  t.match(created, { status: 201, body: { tags_all: { env: 'prod' } } }, 'by the settings as they are');
  const patched = await call('PATCH', `/v1/keys/${key.id}`, { description: 'new' });
  t.match(patched, { status: 200, body: { description: 'new', tags_all: { env: 'prod', own: '2' } } });
  t.equal((await call('GET', `/v1/keys?provider=${provider}&state=in_sync`)).status, 200);
  const { body: now } = await call<Provider>('GET', `/v1/providers/${provider}`);
  t.match(now.default_tags, prod.default_tags);
  await release();

  const { status, body: changed } = await answer;
  t.equal(status, 200);
  // On a busy machine the answer may come, after ten seconds, before the end; it tells so.
  if (changed.progress.keys_pending > 0) {
    await eventually('all are brought along', async () => (await other.counts()).along === count);
  }
  t.same(await other.counts(), { all: count, along: count, twice: 0 }, 'when it is answered, all keys have the tags');
  const { body: done } = await call<Provider>('GET', `/v1/providers/${provider}`);
  t.match(done.progress, { keys_pending: 0 });
});

test('a change whose process is killed goes on, and one that takes its place begins anew', async (t) => {
  const count = 6000;
  const { databaseUrl: DATABASE_URL, kmsUrl: KMS_ENDPOINT } = await startBackends(t);
  const environment = { DATABASE_URL, KMS_ENDPOINT };
  const first = await startProcess(t, environment);
  await addProvider(first.call, { name: provider });
  const database = await connect(t, DATABASE_URL);
  const other = await connect(t, DATABASE_URL);
  await database.client.query(insertMany(count));

  const release = await database.hold(count / 2);
  const answer = change(first.call, prod).catch(() => null);
  const isHalfway = async () => (await other.counts()).along > count / 4;
  await eventually('it is halfway', isHalfway);
  first.child.kill('SIGKILL');
  await first.ended;
  t.equal(await answer, null, 'nobody was answered');
  const second = await startService(t, environment);
  t.match((await second.call<Provider>('GET', `/v1/providers/${provider}`)).body, prod, 'it was recorded');
  await release();
  await eventually('it reaches all', async () => (await other.counts()).along === count);
  t.equal((await other.counts()).twice, 0, 'and began where it was');

  const again = await database.hold(count / 2);
  const superseded = change(second.call, { default_tags: { env: 'test' } });
  await eventually('the next one is halfway', async () => (await other.counts()).along < count - count / 4);
  // It waits for the batch that is under way, and takes it from there.
  const last = change(second.call, { ...prod, ignore_tags: { keys: ['own'], key_prefixes: [] } });
  await again();
  t.same([(await superseded).status, (await last).status], [200, 200]);
  const { rows } = await other.client.query('SELECT DISTINCT tags_all FROM keys');
  t.same(rows, [{ tags_all: { env: 'prod' } }]);
});

test('a key that is declared after the others were looked at must have room for the tags too', async (t) => {
  const { databaseUrl: DATABASE_URL } = await startBackends(t);
  const { call } = await startService(t, { DATABASE_URL });
  await addProvider(call, { name: provider });
  const { client } = await connect(t, DATABASE_URL);
  const other = await connect(t, DATABASE_URL);
  await client.query('BEGIN');
  await client.query('SELECT 1 FROM providers WHERE name = $1 FOR SHARE', [provider]);
  const answer = change(call, prod);
  await eventually('it has looked at the keys, and waits for the row of the provider', async () => {
    const { rows } = await other.client.query('SELECT 1 FROM pg_locks WHERE NOT granted');
    return rows.length > 0;
  });
  const tags = Object.fromEntries(Array.from({ length: 49 }, (_, index) => [`own${index}`, '']));
  const { status, body: key } = await call('POST', '/v1/keys', { provider, tags });
  t.equal(status, 201);
  await client.query('COMMIT');
  const { status: refused, body } = await answer;
  t.match({ refused, errors: body.errors }, { refused: 422, errors: [{ detail: `Key ${key.id} would have 51 tags` }] });
  t.match((await call<Provider>('GET', `/v1/providers/${provider}`)).body, {
    default_tags: {},
    progress: { started_at: null },
  });
});

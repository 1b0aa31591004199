import { Client } from 'pg';
import { test } from 'tap';
import { startBackends, startProxy } from '../support/process.ts';
import { eventually, type Problem, startService } from '../support/service.ts';

test('while PostgreSQL is away: 503 with Retry-After, and the service recovers by itself', async (t) => {
  const { databaseUrl, kmsUrl } = await startBackends(t);
  const proxy = await startProxy(t, new URL(databaseUrl));
  const { call } = await startService(t, { DATABASE_URL: proxy.url, KMS_ENDPOINT: kmsUrl });
  const { body: key } = await call('POST', '/v1/keys', {});
  proxy.cut();
  for (const [method, path, body] of [
    ['GET', `/v1/keys/${key.id}`],
    ['GET', '/v1/keys'],
    ['POST', '/v1/keys', {}],
    ['PATCH', `/v1/keys/${key.id}`, { description: 'x' }],
    ['DELETE', `/v1/keys/${key.id}`],
    ['POST', `/v1/keys/${key.id}/refresh`],
    ['GET', '/readyz'],
  ] as const) {
    const { status, headers, body: problem } = await call<Problem>(method, path, body);
    t.equal(status, 503, `${method} ${path}`);
    t.match(headers.get('retry-after'), /^\d+$/);
    t.match(problem.type, /\/problems\/temporarily-unavailable$/);
    // The type is a URL of the service's own.
    t.notMatch(JSON.stringify({ ...problem, type: null }), /SELECT|prisma|ECONN|127\.0\.0\.1/i);
  }
  t.equal((await call('GET', '/livez')).status, 200);
  proxy.mend();
  await eventually('it is ready again', async () => (await call('GET', '/readyz')).status === 200);
  const { status } = await call('PATCH', `/v1/keys/${key.id}`, { description: 'back' });
  t.equal(status, 200);
});

test('connections to PostgreSQL that are lost without a word: the service and its worker come back by themselves', async (t) => {
  const { databaseUrl, kmsUrl } = await startBackends(t);
  const proxy = await startProxy(t, new URL(databaseUrl));
  const { call } = await startService(t, { DATABASE_URL: proxy.url, KMS_ENDPOINT: kmsUrl });
  const { body: key } = await call('POST', '/v1/keys', {});
  const path = `/v1/keys/${key.id}`;
  proxy.blackhole();
  // Until the lost connections are given up, requests that are given one of them are told to come again.
  await eventually('a change is carried out', async () => {
    const { status } = await call('PATCH', path, { description: 'after' });
    t.match(String(status), /^(200|202|503)$/);
    return status === 200;
  });
  await eventually('it is ready', async () => (await call('GET', '/readyz')).status === 200);
  // Somebody hears of changes again, and the worker takes what it is woken for.
  t.equal((await call('POST', '/v1/keys', {})).status, 201);
});

test('a worker that can not find its work is not ready', async (t) => {
  const { databaseUrl } = await startBackends(t);
  const { call } = await startService(t, { DATABASE_URL: databaseUrl });
  const database = new Client({ connectionString: databaseUrl });
  await database.connect();
  t.teardown(() => database.end());
  await database.query('ALTER TABLE work RENAME former_keys_open TO renamed');
  const problem = await eventually('it says so', async () => {
    const { status, body } = await call<Problem>('GET', '/readyz');
    return status === 503 && body;
  });
  t.match(problem.detail, /^The worker has not been able to look for due keys for \d+ seconds/);
  await database.query('ALTER TABLE work RENAME renamed TO former_keys_open');
  await eventually('it is ready again', async () => (await call('GET', '/readyz')).status === 200);
});

test('requests that wait for a row, more than there are connections, do not keep the worker from its work', async (t) => {
  const { databaseUrl } = await startBackends(t);
  const { call } = await startService(t, { DATABASE_URL: databaseUrl });
  const { body: key } = await call('POST', '/v1/keys', {});
  const database = new Client({ connectionString: databaseUrl });
  await database.connect();
  t.teardown(() => database.end());
  await database.query('BEGIN');
  await database.query('SELECT 1 FROM providers FOR UPDATE');
  const creates = Promise.all(Array.from({ length: 40 }, () => call('POST', '/v1/keys', {})));
  const other = new Client({ connectionString: databaseUrl });
  await other.connect();
  t.teardown(() => other.end());
  const count = async (sql: string) => (await other.query<{ count: number }>(sql)).rows[0]?.count ?? 0;
  await eventually('all connections of requests wait', async () => {
    const waiting =
      "SELECT count(*)::int FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()";
    return (await count(waiting)) >= 15;
  });
  await other.query('UPDATE work SET due_at = now() WHERE key_ref = $1', [key.id]);
  const looked = `SELECT count(*)::int FROM work WHERE due_at > now() AND lease_until IS NULL AND key_ref = '${key.id}'`;
  // Sooner than a request gives up and leaves its connection to others.
  await eventually('the key is looked at meanwhile', async () => (await count(looked)) === 1, 7000);
  await database.query('ROLLBACK');
  await creates;
});

test('a connection that breaks between two statements of its borrower fails the next, and nothing else', async (t) => {
  const { call, services } = await startService(t);
  const { pool } = services.database;
  const borrowed = await pool.connect();
  const { rows } = await borrowed.query<{ pid: number }>('SELECT pg_backend_pid() AS pid');
  const broken = new Promise((resolve) => borrowed.once('end', resolve));
  await pool.query('SELECT pg_terminate_backend($1)', [rows[0]?.pid]);
  await broken;
  await t.rejects(borrowed.query('SELECT 1'));
  borrowed.release(true);
  t.equal((await call('POST', '/v1/keys', {})).status, 201);
});

test('a request that comes when all connections are in use waits for one, and is told so when none comes free', async (t) => {
  const { call, services } = await startService(t);
  const { pool } = services.database;
  const held = await Promise.all(Array.from({ length: pool.options.max }, () => pool.connect()));
  const start = performance.now();
  const { status, headers, body } = await call<Problem>('POST', '/v1/keys', {});
  t.ok(performance.now() - start > 10_000, 'a burst is over by then');
  t.match(
    { status, body },
    { status: 503, body: { detail: /^There are more requests than Keyward can carry out at once/ } },
  );
  t.match(headers.get('retry-after'), /^\d+$/);
  const later = call('POST', '/v1/keys', {});
  for (const connection of held) connection.release();
  t.equal((await later).status, 201);
});

import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { type Test, test } from 'tap';
import { readConfig } from '../../src/config.ts';
import { run, startBackends, startProcess, temporaryFolder } from '../support/process.ts';
import { eventually, kmsControl, startService } from '../support/service.ts';

async function postgresPid(dataDir: string): Promise<number> {
  return Number((await readFile(path.join(dataDir, 'postgres/postmaster.pid'), 'utf8')).split('\n')[0]);
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

test('a bad variable is named', async (t) => {
  const cases: [environment: Record<string, string>, name: string][] = [
    [{ PORT: 'x' }, 'PORT'],
    [{ PORT: '65536' }, 'PORT'],
    [{ PORT: '-1' }, 'PORT'],
    [{ DATABASE_URL: 'mysql://user:hush@host/db' }, 'DATABASE_URL'],
    [{ KMS_ENDPOINT: 'elsewhere' }, 'KMS_ENDPOINT'],
    [{ KMS_ENDPOINT: 'http://a:99999' }, 'KMS_ENDPOINT'],
    [{ KMS_ENDPOINT: 'http://user:pw@host' }, 'KMS_ENDPOINT'],
    [{ KMS_ENDPOINT: 'https://' }, 'KMS_ENDPOINT'],
    [{ LOCAL_KMS_PORT: '3.5' }, 'LOCAL_KMS_PORT'],
    [{ AWS_REGION: 'Europe' }, 'AWS_REGION'],
    [{ OWNERSHIP_TAG: 'aws:mine' }, 'OWNERSHIP_TAG'],
    [{ ROLE: 'boss' }, 'ROLE'],
    [{ WORKER_CONCURRENCY: '0' }, 'WORKER_CONCURRENCY'],
    [{ MIGRATE_ON_START: 'yes' }, 'MIGRATE_ON_START'],
    [{ AUTH_MODE: 'trust' }, 'AUTH_MODE'],
    [{ LOG_LEVEL: 'loud' }, 'LOG_LEVEL'],
    [{ WRITE_DEADLINE_SECONDS: '5' }, 'WRITE_DEADLINE_SECONDS'],
    [{ SETTLE_SECONDS: '-1' }, 'SETTLE_SECONDS'],
    [{ LEASE_SECONDS: '1' }, 'LEASE_SECONDS'],
    [{ OWNERSHIP_SEARCH: 'guessing' }, 'OWNERSHIP_SEARCH'],
    [{ FAILURE_SWITCHES: 'no-fencing,no-brakes' }, 'FAILURE_SWITCHES'],
    [{ NODE_ENV: 'production', FAILURE_POINTS: 'x' }, 'FAILURE_POINTS'],
    [{ NODE_ENV: 'production', FAILURE_SWITCHES: 'no-fencing' }, 'FAILURE_SWITCHES'],
    [{ NODE_ENV: 'production' }, 'DATABASE_URL'],
    [{ NODE_ENV: 'production', DATA_DIR: 'x' }, 'KMS_ENDPOINT'],
    [{ NODE_ENV: 'production', DATA_DIR: 'x', KMS_ENDPOINT: 'local' }, 'AUTH_MODE'],
  ];
  for (const [environment, name] of cases) {
    t.throws(() => readConfig(environment), { message: new RegExp(`^${name}: [^\\n]*$`) }, JSON.stringify(environment));
  }
});

test('a bad variable stops the service with one line', async (t) => {
  const environments = [{ DATABASE_URL: 'mysql://user:hush@host/db' }, { NODE_ENV: 'production', FAILURE_POINTS: 'x' }];
  await Promise.all(
    environments.map(async (environment) => {
      const { ended, stderr, stdout } = run(t, 'src/server.ts', environment);
      t.equal((await ended).code, 1, JSON.stringify(environment));
      t.match(stderr(), /^Keyward does not start: [^\n]*(DATABASE_URL|FAILURE_POINTS): [^\n]*\n$/);
      t.notMatch(stderr(), /hush/, 'no password is shown');
      t.equal(stdout(), '');
    }),
  );
});

/** Each signal in turn, since to start a service is what takes the time. */
test('a service that is ended leaves nothing running, answers who waits, and a restart finds everything', async (t) => {
  const DATA_DIR = await temporaryFolder(t);
  const first = await startProcess(t, { DATA_DIR });
  t.match(first.stdout(), /^Keyward serves on http:\S+; documentation: http:\S+\/docs; local KMS [^\n]+\n$/);
  const { body: made } = await first.call('POST', '/v1/keys', { description: 'kept', tags: { a: '1' } });
  const { body: key } = await first.call('GET', `/v1/keys/${made.id}`);

  const intruder = run(t, 'src/server.ts', { DATA_DIR, PORT: '0', LOCAL_KMS_PORT: '0' });
  t.equal((await intruder.ended).code, 1, 'a data directory that is in use is not taken over');
  t.match(intruder.stderr(), /in use by another Keyward process/);

  const postgres = await postgresPid(DATA_DIR);
  t.ok(isAlive(postgres));
  first.child.kill('SIGTERM');
  t.same(await first.ended, { code: 0, signal: null });
  t.notOk(isAlive(postgres), 'PostgreSQL is stopped');

  const second = await startProcess(t, { DATA_DIR });
  t.same((await second.call('GET', `/v1/keys/${key.id}`)).body, key);
  const { body: synced } = await second.call('POST', `/v1/keys/${key.id}/sync`);
  t.match(synced.status, { state: 'in_sync', drift: [] });
  await kmsControl(second.kmsUrl ?? '').fault({ operation: 'CreateKey', kind: 'throttle', times: null });
  const waiting = second.call('POST', '/v1/keys', {}, { prefer: 'wait=60' });
  await eventually('the request waits', async () => {
    const { body } = await second.call<{ items: unknown[] }>('GET', '/v1/keys');
    return body.items.length === 2;
  });
  second.child.kill('SIGINT');
  const { status, body: waited } = await waiting;
  t.equal(status, 202);
  t.equal(waited.status.state, 'creating');
  t.same(await second.ended, { code: 0, signal: null });

  const third = await startProcess(t, { DATA_DIR });
  t.equal((await third.call('GET', `/v1/keys/${key.id}`)).body.arn, key.arn);
  await eventually('what was accepted is carried out', async () => {
    return (await third.call('GET', `/v1/keys/${waited.id}`)).body.status.state === 'in_sync';
  });
  third.child.kill('SIGINT');
  await third.ended;
});

test('replicas that start at once on an empty database all start', async (t) => {
  const { databaseUrl, kmsUrl } = await startBackends(t, { empty: true });
  const environment = { DATABASE_URL: databaseUrl, KMS_ENDPOINT: kmsUrl };
  const replicas = await Promise.all([
    startProcess(t, environment),
    startProcess(t, environment),
    ...[1, 2].map(() => startService(t, environment)),
  ]);
  const { body: key } = await replicas[0].call('POST', '/v1/keys', {});
  for (const { call } of replicas) t.equal((await call('GET', `/v1/keys/${key.id}`)).status, 200);
});

test('npm run migrate applies migrations alone; without them a service says so; an api process leaves the work to a worker', async (t) => {
  const { databaseUrl, kmsUrl } = await startBackends(t, { empty: true });
  const environment = { DATABASE_URL: databaseUrl, KMS_ENDPOINT: kmsUrl, MIGRATE_ON_START: 'false' };
  const early = run(t, 'src/server.ts', { ...environment, PORT: '0' });
  t.equal((await early.ended).code, 1);
  t.match(early.stderr(), /npm run migrate/);
  for (const wanted of [/^Applied \d+_init/, /^Nothing to apply/]) {
    const migration = run(t, 'src/migrate.ts', { DATABASE_URL: databaseUrl });
    t.equal((await migration.ended).code, 0);
    t.match(migration.stdout(), wanted);
  }
  await leavesWorkToWorker(t, environment);
});

async function leavesWorkToWorker(t: Test, environment: Record<string, string>): Promise<void> {
  const api = await startService(t, { ...environment, ROLE: 'api' });
  const { status, body: key } = await api.call('POST', '/v1/keys', {}, { prefer: 'respond-async' });
  t.equal(status, 202);
  const worker = await startProcess(t, { ...environment, ROLE: 'worker' });
  await eventually('the worker syncs the key', async () => {
    const { body } = await api.call('GET', `/v1/keys/${key.id}`);
    return body.status.state === 'in_sync';
  });
  t.equal((await api.call('POST', '/v1/keys', {})).status, 201, 'the api process hears of the end');
  t.equal((await worker.call('GET', '/livez')).status, 200);
  t.equal((await worker.call('GET', '/v1/keys')).status, 404, 'a worker serves health, no keys');
}

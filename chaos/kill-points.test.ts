import path from 'node:path';
import { Client } from 'pg';
import tap, { type Test, test } from 'tap';
import { startLocalKms } from '../src/local/kms/index.ts';
import type { Recovery } from '../src/schemas/recovery.ts';
import type { FailurePoint } from '../src/services/failure-points.ts';
import { type Scenario, scenarios, scenariosAfterGap } from '../test/support/failure-scenarios.ts';
import { allKeyIds, metadata } from '../test/support/kms-truth.ts';
import { newDatabase } from '../test/support/postgres.ts';
import { startBackends, startProcess, temporaryFolder } from '../test/support/process.ts';
import { eventually, kmsClient, kmsControl } from '../test/support/service.ts';
import { type ForeignKeys, violations } from './invariants.ts';
import { arnIn, home } from './places.ts';
import { Replica } from './replica.ts';
import { heldKey, unsettledKeys } from './truth.ts';

const quick = {
  WRITE_DEADLINE_SECONDS: '6',
  SETTLE_SECONDS: '1',
  PROPAGATION_SECONDS: '1',
  LEASE_SECONDS: '2',
  LOG_LEVEL: 'silent',
};
const atOnce = 4;
// Each experiment starts two processes and waits for a lease and a deadline to run out.
tap.setTimeout(600_000);

async function connect(t: Test, url: string): Promise<Client> {
  const client = new Client({ connectionString: url });
  client.on('error', () => {});
  await client.connect();
  t.teardown(() => client.end());
  return client;
}

/** A process that is killed at the point, and started again. */
async function killAndRecover(t: Test, scenario: Scenario, point: FailurePoint, databaseUrl: string): Promise<void> {
  const folder = await temporaryFolder(t);
  const localKms = await startLocalKms({ dataDir: path.join(folder, 'kms') });
  t.teardown(() => localKms.close());
  const kms = kmsClient(localKms.url);
  const elsewhere = kmsClient(localKms.url, '111122223333', 'eu-west-1');
  t.teardown(() => {
    kms.destroy();
    elsewhere.destroy();
  });
  const environment = { ...quick, DATABASE_URL: databaseUrl, KMS_ENDPOINT: localKms.url };
  const replica = new Replica(t, path.join(folder, 'points'), environment);
  await replica.start();
  const stage = { call: replica.service.call, kms, control: kmsControl(localKms.url) };
  const key = (await scenario.prepare?.(stage)) ?? '';
  const database = await connect(t, databaseUrl);
  if (scenario.database !== undefined) {
    await database.query(scenario.database);
    await eventually('every key was compared with KMS', async () => {
      const { body } = await stage.call<Recovery>('GET', '/v1/recovery');
      return body.held && body.keys_checked === body.keys_total;
    });
  }
  await replica.arm([{ id: 'here', point, action: 'kill', pass: scenario.pass ?? 1 }]);
  const answer = scenario.act(stage, key).catch(() => undefined);
  t.same(await replica.service.ended, { code: null, signal: 'SIGKILL' }, 'the process has killed itself');
  await answer;
  t.same(
    (await replica.fired()).map((fired) => fired.point),
    [point],
  );

  await replica.start();
  let last: unknown;
  const row = await eventually(`${scenario.name} is done after a kill at ${point}`, async () => {
    const { rows } = await database.query('SELECT * FROM keys JOIN work ON work.key_ref = keys.id');
    last = rows[0];
    if ((await unsettledKeys(database)).length > 0) return false;
    // A scenario of a multi-Region key has a record for each Region.
    if (rows.length === 0) return scenario.wanted(undefined) && { is: undefined };
    const is = rows.find((found) => scenario.wanted(found));
    return is !== undefined && { is };
  }).catch((error: Error) => {
    throw new Error(`${error.message}; the record is ${JSON.stringify(last)}`);
  });
  const refused = await database.query("SELECT operation, error FROM errands WHERE outcome = 'refused'");
  t.same(refused.rows, [], 'what was done is not told as refused');
  const foreign: ForeignKeys = new Map();
  if (row.is === undefined)
    for (const keyId of await allKeyIds(kms)) foreign.set(arnIn(home, keyId), await heldKey(kms, keyId));
  t.ok(foreign.size <= 1);
  t.same(await violations({ kms, database }, { foreign }), []);
  t.same(await violations({ kms: elsewhere, database }, { foreign: new Map() }), []);
  await replica.kill();
}

test('a kill at any failure point: the invariants hold, and the change is carried through', async (t) => {
  const experiments = [...scenarios, ...scenariosAfterGap].flatMap((scenario) =>
    scenario.points.map((point) => ({ scenario, point })),
  );
  t.jobs = atOnce;
  for (const { scenario, point } of experiments) {
    t.test(`${scenario.name}: kill at ${point}`, { buffered: true, timeout: 110_000 }, async (t) => {
      // With a schema and nothing else: a copy of a database that processes have known would be one after a gap.
      await killAndRecover(t, scenario, point, await newDatabase(t));
    });
  }
});

test('the work of a killed worker is taken over within 30 seconds, with the standard times', async (t) => {
  const { databaseUrl, kmsUrl } = await startBackends(t);
  const environment = { DATABASE_URL: databaseUrl, KMS_ENDPOINT: kmsUrl, LOG_LEVEL: 'silent' };
  const killed = new Replica(t, path.join(await temporaryFolder(t), 'points'), environment);
  await killed.start();
  const { body: key } = await killed.service.call('POST', '/v1/keys', { description: 'before' });
  await killed.arm([{ id: 'here', point: 'writes-recorded', action: 'kill', pass: 1 }]);
  const change = killed.service.call('PATCH', `/v1/keys/${key.id}`, { description: 'after' }).catch(() => {});
  await killed.service.ended;
  const killedAt = performance.now();
  await change;
  const { call } = await startProcess(t, environment);
  const kms = kmsClient(kmsUrl);
  t.teardown(() => kms.destroy());
  await eventually('the change is carried out', async () => {
    const { body } = await call('GET', `/v1/keys/${key.id}`);
    return body.status.state === 'in_sync' && body.status.synced_generation === 2;
  });
  t.ok(performance.now() - killedAt < 30_000);
  t.equal((await metadata(kms, key.key_id ?? '')).Description, 'after');
});

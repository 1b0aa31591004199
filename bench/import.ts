/**
 * `npm run bench:import`: one import of all of 5,000 keys of every kind, with 20 ms of KMS latency and KMS's quotas on. How many
 * reads a second it makes, against what the share of the quotas allows and what the bare SDK reaches in one process; that it
 * takes the right keys, tells why of each other, writes nothing but ownership tags, and ends the same after kill -9 midway.
 * Options: --keys N, --latency MILLISECONDS, --share N, --tags (waits until every ownership tag is written).
 */
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { migrate } from '../src/database/migrate.ts';
import { readsOfKey, standardQuotas } from '../src/domain/request-quotas.ts';
import { startEmbeddedPostgres } from '../src/local/postgres.ts';
import type { Import, ImportItem } from '../src/schemas/imports.ts';
import { readAtOnce } from '../src/services/sync/refresh.ts';
import { ended, itemsOf } from '../test/support/imports.ts';
import { firstUrl, type Owner, run, type Service, startProcess, temporaryFolder } from '../test/support/process.ts';
import { kmsControl, type LoggedCall } from '../test/support/service.ts';
import { print, runBenchmark } from './fleet.ts';
import { type Expected, seedMixedKeys } from './mixed-keys.ts';
import { quantile } from './statistics.ts';

const { values } = parseArgs({
  options: {
    keys: { type: 'string', default: '5000' },
    latency: { type: 'string', default: '20' },
    share: { type: 'string', default: '0.5' },
    tags: { type: 'boolean', default: false },
  },
});
const count = Number(values.keys);
const share = Number(values.share);
/** Keys a second. */
const allowed = Math.min(...readsOfKey.map((operation) => (standardQuotas[operation] ?? 0) * share));
const wantedRatio = 0.9;
/** Seconds over which the ownership tags are counted. */
const tagsWindow = 20;

async function measure(owner: Owner): Promise<void> {
  print(`${count} keys of every kind, ${values.latency} ms of KMS latency, quotas on, share ${values.share}`);
  const place = await start(owner);
  const before = await bareSdk(owner, place);
  const service = await startService(owner, place);
  const measured = await importAll(service, place);
  const after = await bareSdk(owner, place);
  report(measured, [before, after]);
  await verify(service, place, measured.import, 'all keys');
  await followTags(service, place);
  service.child.kill('SIGKILL');
  await service.ended;
  await killMidway(owner);
}

type Place = { connectionString: string; kmsUrl: string; expected: Expected; readable: string[] };

async function start(owner: Owner): Promise<Place> {
  const folder = await temporaryFolder(owner);
  const { connectionString, stop } = await startEmbeddedPostgres(folder);
  owner.teardown(stop);
  await migrate(connectionString);
  const data = path.join(folder, 'kms');
  const seeded = seedMixedKeys(data, count);
  const knobs = ['--latency', values.latency, '--quotas'];
  const kmsUrl = await firstUrl(run(owner, 'src/local/kms/main.ts', {}, ['--port', '0', '--data', data, ...knobs]));
  return { connectionString, kmsUrl, ...seeded };
}

function startService(owner: Owner, { connectionString, kmsUrl }: Place): Promise<Service> {
  return startProcess(owner, { DATABASE_URL: connectionString, KMS_ENDPOINT: kmsUrl, QUOTA_SHARE: values.share });
}

/** Reads a second. */
async function bareSdk(owner: Owner, { kmsUrl, readable }: Place): Promise<number> {
  const environment = { KMS_ENDPOINT: kmsUrl, KEYS_AT_ONCE: String(readAtOnce) };
  const control = run(owner, 'bench/refresh-control.ts', environment, [], JSON.stringify(readable));
  const { code } = await control.ended;
  if (code !== 0) throw new Error(`The control ended with ${code}: ${control.stderr()}`);
  const [seconds = 0] = control.stdout().split(' ').map(Number);
  return (readable.length * readsOfKey.length) / seconds;
}

type Measured = {
  import: Import;
  seconds: number;
  reads: number;
  policies: number;
  cpu: number;
  lookups: number[];
  plans: number[];
};

async function importAll(service: Service, { kmsUrl }: Place): Promise<Measured> {
  const control = kmsControl(kmsUrl);
  await service.call('GET', '/v1/unmanaged-keys?limit=1');
  await delay(2000);
  await control.clear();
  const cpu = await cpuSeconds(service);
  const startedAt = performance.now();
  const { body } = await service.call<Import>('POST', '/v1/imports', { source: { all: true } });
  let isOver = false;
  const lookups: number[] = [];
  const plans: number[] = [];
  const using = (async () => {
    while (!isOver) {
      // A machine that does much else may reset a connection: that sample is left out.
      await use(service, lookups, plans).catch((error: unknown) => print(`left out: ${String(error)}`));
      await delay(500);
    }
  })();
  const over = await ended(service.call, body.id);
  const seconds = (performance.now() - startedAt) / 1000;
  isOver = true;
  await using;
  const calls = await control.calls({ reads: true });
  failOn(calls);
  const reads = calls.filter(({ operation }) => readsOfKey.some((read) => read === operation)).length;
  // The scarcest: of a key that is passed over, KMS is asked for less.
  const policies = calls.filter(({ operation }) => operation === 'GetKeyPolicy').length;
  return { import: over, seconds, reads, policies, cpu: (await cpuSeconds(service)) - cpu, lookups, plans };
}

/** What somebody does meanwhile with a key that is imported already. */
async function use({ call }: Service, lookups: number[], plans: number[]): Promise<void> {
  const { body } = await call<{ items: { id: string }[] }>('GET', '/v1/keys?limit=1');
  const [key] = body.items;
  if (key === undefined) return;
  const timed = async (times: number[], method: string, route: string, sent?: object) => {
    const before = performance.now();
    const { status } = await call(method, route, sent);
    if (status !== 200) throw new Error(`${method} ${route} answered ${status}`);
    times.push(performance.now() - before);
  };
  await timed(lookups, 'GET', `/v1/keys/${key.id}`);
  await timed(plans, 'POST', `/v1/keys/${key.id}/plan`, { description: 'another' });
}

/** @throws where KMS has throttled a call, or was written anything but an ownership tag. */
function failOn(calls: LoggedCall[]): void {
  const throttled = calls.filter(({ error }) => error === 'ThrottlingException').length;
  const writes = calls.filter(({ operation }) => !/^(Get|List|Describe)/.test(operation));
  const others = writes.filter(({ operation, parameters }) => {
    const tags = (parameters['Tags'] ?? []) as { TagKey: string }[];
    return operation !== 'TagResource' || tags.length !== 1 || tags[0]?.TagKey !== 'keyward:id';
  });
  print(`throttling answers         ${throttled} (wanted: 0)`);
  print(`writes                     ${writes.length} ownership tags, ${others.length} others (wanted: 0)`);
  if (throttled + others.length > 0) throw new Error('KMS was asked for what it should not be asked for');
}

function report({ seconds, reads, policies, cpu, lookups, plans, import: over }: Measured, controls: number[]): void {
  const control = (Math.min(...controls) + Math.max(...controls)) / 2;
  const rate = reads / seconds;
  const ratio = Math.max(policies / seconds / allowed, rate / control);
  print(`import                     ${seconds.toFixed(1)} s, ${JSON.stringify(over.counts)}`);
  print(`reads by the import        ${rate.toFixed(0)}/s (${reads} in all)`);
  print(`GetKeyPolicy among them    ${(policies / seconds).toFixed(1)}/s of ${allowed}/s that the share allows`);
  print(`the bare SDK               ${control.toFixed(0)}/s (${controls.map((one) => one.toFixed(0)).join(', ')})`);
  print(`ratio to the lower one     ${ratio.toFixed(2)} (wanted: ${wantedRatio} or more)`);
  print(`CPU a key                  ${((cpu / count) * 1000).toFixed(2)} ms`);
  const times = (name: string, samples: number[]) =>
    print(
      `${name.padEnd(27)}median ${quantile(samples, 0.5).toFixed(0)} ms, slowest ${quantile(samples, 1).toFixed(0)} ms`,
    );
  times('GET of a key meanwhile', lookups);
  times('plan of a key meanwhile', plans);
}

/** Each key has ended as it should. */
async function verify({ call }: Service, { expected }: Place, over: Import, what: string): Promise<void> {
  const items = await itemsOf(call, over.id);
  const wrong = items.filter((item) => !isRight(item, expected));
  const keyIds = new Set(items.map(({ arn }) => arn?.split('/').at(-1)));
  const { body } = await call<{ total: number }>('GET', '/v1/keys/summary');
  const importable = [...expected.values()].filter((reason) => reason === null).length;
  const isWhole = items.length === count && keyIds.size === count && body.total === importable;
  print(
    `${what.padEnd(27)}${items.length} keys, ${wrong.length} not as they should be (wanted: 0); ${body.total} records of ${importable}`,
  );
  if (wrong.length > 0 || !isWhole) throw new Error(JSON.stringify(wrong.slice(0, 3)));
}

function isRight({ arn, outcome, reason, id }: ImportItem, expected: Expected): boolean {
  const wanted = expected.get(arn?.split('/').at(-1) ?? '');
  if (wanted === null) return outcome === 'imported' && reason === null && id !== null;
  return outcome === 'skipped' && reason?.code === wanted && id === null;
}

/** The ownership tags follow at their own quota. */
async function followTags({ call }: Service, { kmsUrl }: Place): Promise<void> {
  const control = kmsControl(kmsUrl);
  await control.clear();
  await delay(tagsWindow * 1000);
  const written = (await control.calls()).length / tagsWindow;
  const quota = (standardQuotas['TagResource'] ?? 0) * share;
  print(`ownership tags             ${written.toFixed(1)}/s of ${quota}/s that the share allows`);
  while (values.tags) {
    const { body } = await call<{ by_state: Record<string, number> }>('GET', '/v1/keys/summary');
    if (body.by_state['in_sync'] === Object.values(body.by_state).reduce((sum, one) => sum + one, 0)) break;
    await delay(2000);
  }
}

async function killMidway(owner: Owner): Promise<void> {
  const place = await start(owner);
  const first = await startService(owner, place);
  const { body } = await first.call<Import>('POST', '/v1/imports', { source: { all: true } });
  let settled = 0;
  while (settled < count / 2) {
    await delay(100);
    const { counts } = (await first.call<Import>('GET', `/v1/imports/${body.id}`)).body;
    settled = counts.total - counts.waiting;
  }
  first.child.kill('SIGKILL');
  await first.ended;
  const second = await startService(owner, place);
  const over = await ended(second.call, body.id);
  failOn(await kmsControl(place.kmsUrl).calls({ reads: true }));
  await verify(second, place, over, `kill -9 after ${settled}`);
  const { body: again } = await second.call<Import>('POST', '/v1/imports', { source: { all: true } });
  const { counts } = await ended(second.call, again.id);
  print(`the same import again      ${JSON.stringify(counts)}`);
  if (counts.imported > 0) throw new Error('The same import again has imported keys');
  second.child.kill('SIGKILL');
  await second.ended;
}

async function cpuSeconds({ call }: Service): Promise<number> {
  const { body } = await call<string>('GET', '/metrics');
  return Number(/^process_cpu_seconds_total (\S+)/m.exec(body)?.[1]);
}

await runBenchmark(measure);

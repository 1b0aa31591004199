/**
 * `npm run bench:refresh`: a full refresh of 10,000 keys, with 20 ms of KMS latency and KMS's quotas on, against what the
 * share of the quotas allows and what the bare SDK reaches in one process, before and after, in the same run. Meanwhile one key
 * every other second is changed. Options: --keys N, --latency MILLISECONDS, --share N.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import type { Client } from 'pg';
import { standardQuotas } from '../src/domain/request-quotas.ts';
import { readAtOnce } from '../src/services/sync/refresh.ts';
import type { FleetKey } from '../test/support/fleet.ts';
import { type Owner, run, type Service, startProcess } from '../test/support/process.ts';
import { kmsControl } from '../test/support/service.ts';
import { print, runBenchmark, startFleet } from './fleet.ts';
import { median, quantile } from './statistics.ts';

const { values } = parseArgs({
  options: {
    keys: { type: 'string', default: '10000' },
    latency: { type: 'string', default: '20' },
    share: { type: 'string', default: '0.5' },
  },
});
const count = Number(values.keys);
const readsOfAKey = ['DescribeKey', 'GetKeyPolicy', 'ListResourceTags', 'GetKeyRotationStatus'];
/** Keys a second. */
const allowed = Math.min(...readsOfAKey.map((operation) => (standardQuotas[operation] ?? 0) * Number(values.share)));
const wantedRatio = 0.9;
const wantedPatch = 1000;

async function measure(owner: Owner): Promise<void> {
  const { connectionString, database, kmsUrl, keys } = await startFleet(owner, count, [
    '--latency',
    values.latency,
    '--quotas',
  ]);

  print(`${count} keys, ${values.latency} ms of KMS latency, quotas on, share ${values.share}`);
  const before = await bareSdk(owner, kmsUrl, keys);
  const service = await startProcess(owner, {
    DATABASE_URL: connectionString,
    KMS_ENDPOINT: kmsUrl,
    QUOTA_SHARE: values.share,
    REFRESH_INTERVAL_SECONDS: '86400',
  });
  const { rate, cpu, throttled, patches } = await refresh(service, database, kmsUrl, keys);
  service.child.kill('SIGTERM');
  await service.ended;
  const after = await bareSdk(owner, kmsUrl, keys);

  const sdk = (before.rate + after.rate) / 2;
  const ratio = rate / Math.min(allowed, sdk);
  print(`refresh by the service     ${perSecond(rate)}, ${(count / rate).toFixed(1)} s in all`);
  print(`allowed by the share       ${perSecond(allowed)}`);
  print(
    `the bare SDK               ${perSecond(sdk)} (before ${perSecond(before.rate)}, after ${perSecond(after.rate)})`,
  );
  print(`ratio to the lower one     ${ratio.toFixed(2)} (wanted: ${wantedRatio} or more)`);
  print(`CPU a key                  ${perKey(cpu)}; the bare SDK ${perKey((before.cpu + after.cpu) / 2)}`);
  print(`throttling answers         ${throttled} (wanted: 0)`);
  print(
    `${patches.length} PATCHes meanwhile      median ${median(patches).toFixed(0)} ms, p95 ${quantile(patches, 0.95).toFixed(0)} ms, ` +
      `slowest ${Math.max(...patches).toFixed(0)} ms (wanted: below ${wantedPatch} ms)`,
  );
}

/** Keys a second, and seconds of CPU in all. */
type Measured = { rate: number; cpu: number };

async function bareSdk(owner: Owner, kmsUrl: string, keys: FleetKey[]): Promise<Measured> {
  const environment = { KMS_ENDPOINT: kmsUrl, KEYS_AT_ONCE: String(readAtOnce) };
  const control = run(
    owner,
    'bench/refresh-control.ts',
    environment,
    [],
    JSON.stringify(keys.map(({ keyId }) => keyId)),
  );
  const { code } = await control.ended;
  if (code !== 0) throw new Error(`The control ended with ${code}: ${control.stderr()}`);
  const [seconds, cpu] = control.stdout().split(' ').map(Number);
  return { rate: count / (seconds ?? 0), cpu: cpu ?? 0 };
}

async function refresh(service: Service, database: Client, kmsUrl: string, keys: FleetKey[]) {
  const control = kmsControl(kmsUrl);
  // The first call of a client costs more than others.
  await service.call('POST', `/v1/keys/${keys[0]?.id}/refresh`);
  await delay(2000);
  await control.clear();
  const cpuBefore = await cpuSeconds(service);
  const start = performance.now();
  const { rows } = await database.query<{ now: Date }>('UPDATE keys SET due_at = now() RETURNING now()');
  const startedAt = rows[0]?.now;
  let isOver = false;
  const patches: number[] = [];
  const patching = (async () => {
    for (let number = 0; !isOver; number += 1) {
      const { id } = keys[(number * 7919) % keys.length] ?? { id: '' };
      const sent = performance.now();
      const { status, body } = await service.call('PATCH', `/v1/keys/${id}`, { description: `changed ${number}` });
      if (status !== 200) throw new Error(`PATCH answered ${status}: ${JSON.stringify(body)}`);
      patches.push(performance.now() - sent);
      await delay(2000);
    }
  })();
  const isLeft = async () => {
    const { rows: left } = await database.query('SELECT 1 FROM keys WHERE last_observed_at < $1 LIMIT 1', [startedAt]);
    return left.length > 0;
  };
  while (await isLeft()) await delay(100);
  const rate = count / ((performance.now() - start) / 1000);
  const cpu = (await cpuSeconds(service)) - cpuBefore;
  isOver = true;
  await patching;
  const throttled = (await control.calls({ reads: true })).filter(
    ({ error }) => error === 'ThrottlingException',
  ).length;
  return { rate, cpu, throttled, patches };
}

async function cpuSeconds({ call }: Service): Promise<number> {
  const { body } = await call<string>('GET', '/metrics');
  return Number(/^process_cpu_seconds_total (\S+)/m.exec(body)?.[1]);
}

function perKey(seconds: number): string {
  return `${((seconds / count) * 1000).toFixed(2)} ms`;
}

function perSecond(rate: number): string {
  return `${rate.toFixed(0)} keys/s`;
}

await runBenchmark(measure);

/**
 * `npm run bench:refresh`: a full refresh of 10,000 keys, with 20 ms of KMS latency and KMS's quotas on, against what the
 * share of the quotas allows and what the bare SDK reaches in one process, in turn and in the same run. Meanwhile one key
 * every other second is changed. Options: --keys N, --latency MILLISECONDS, --share N, --rounds N.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import type { Client } from 'pg';
import { readsOfKey, standardQuotas } from '../src/domain/request-quotas.ts';
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
    rounds: { type: 'string', default: '3' },
  },
});
const count = Number(values.keys);
/** Keys a second. */
const allowed = Math.min(...readsOfKey.map((operation) => (standardQuotas[operation] ?? 0) * Number(values.share)));
const wantedRatio = 0.95;
const wantedPatch = 1000;

async function measure(owner: Owner): Promise<void> {
  const { connectionString, database, kmsUrl, keys } = await startFleet(owner, count, [
    '--latency',
    values.latency,
    '--quotas',
  ]);

  const service = await startProcess(owner, {
    DATABASE_URL: connectionString,
    KMS_ENDPOINT: kmsUrl,
    QUOTA_SHARE: values.share,
    REFRESH_INTERVAL_SECONDS: '86400',
  });
  print(`${count} keys, ${values.latency} ms of KMS latency, quotas on, share ${values.share}`);
  const controls = [await bareSdk(owner, kmsUrl, keys)];
  const refreshes: Refreshed[] = [];
  for (let round = 0; round < Number(values.rounds); round += 1) {
    refreshes.push(await refresh(service, database, kmsUrl, keys));
    controls.push(await bareSdk(owner, kmsUrl, keys));
  }
  report(refreshes, controls);
}

function report(refreshes: Refreshed[], controls: Measured[]): void {
  // Each against the controls right before and after it, so that a change of the machine's speed meets both.
  const ratios = refreshes.map(({ rate }, round) => {
    const around = controls.slice(round, round + 2).map((control) => control.rate);
    return rate / Math.min(allowed, (Math.min(...around) + Math.max(...around)) / 2);
  });
  const rates = (measured: Measured[]) => measured.map(({ rate }) => rate.toFixed(0)).join(', ');
  const cpu = (measured: Measured[]) => ((median(measured.map((one) => one.cpu)) / count) * 1000).toFixed(2);
  const patches = refreshes.flatMap((one) => one.patches);
  const throttled = refreshes.reduce((sum, one) => sum + one.throttled, 0);
  const rate = median(refreshes.map((one) => one.rate));
  const milliseconds = (q: number) => `${quantile(patches, q).toFixed(0)} ms`;
  print(
    `refresh by the service     ${rate.toFixed(0)} keys/s (${rates(refreshes)}), ${(count / rate).toFixed(1)} s in all`,
  );
  print(`allowed by the share       ${allowed} keys/s`);
  print(`the bare SDK               ${median(controls.map((one) => one.rate)).toFixed(0)} keys/s (${rates(controls)})`);
  print(
    `ratio to the lower one     ${median(ratios).toFixed(2)} (${ratios.map((ratio) => ratio.toFixed(2)).join(', ')}; ` +
      `wanted: ${wantedRatio} or more)`,
  );
  print(`CPU a key                  ${cpu(refreshes)} ms; the bare SDK ${cpu(controls)} ms`);
  print(`throttling answers         ${throttled} (wanted: 0)`);
  print(
    `${patches.length} PATCHes meanwhile      median ${milliseconds(0.5)}, p95 ${milliseconds(0.95)}, ` +
      `slowest ${milliseconds(1)} (wanted: below ${wantedPatch} ms)`,
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

type Refreshed = Measured & { throttled: number; patches: number[] };

async function refresh(service: Service, database: Client, kmsUrl: string, keys: FleetKey[]): Promise<Refreshed> {
  const control = kmsControl(kmsUrl);
  // The first call of a client costs more than others.
  await service.call('POST', `/v1/keys/${keys[0]?.id}/refresh`);
  await delay(2000);
  await control.clear();
  const cpuBefore = await cpuSeconds(service);
  const start = performance.now();
  const { rows } = await database.query<{ now: Date }>('UPDATE work SET due_at = now() RETURNING now()');
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
    const { rows: left } = await database.query('SELECT 1 FROM work WHERE last_observed_at < $1 LIMIT 1', [startedAt]);
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

await runBenchmark(measure);

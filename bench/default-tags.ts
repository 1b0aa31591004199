/**
 * `npm run bench:default-tags`: a change of a provider's default_tags on 2,000 keys with KMS's quotas on, against the rate that
 * the share of TagResource's quota allows. Meanwhile a key is changed every few seconds, and the service is killed with SIGKILL in the
 * middle and started again. Options: --keys N, --share N.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { standardQuotas } from '../src/domain/request-quotas.ts';
import type { Provider } from '../src/schemas/provider.ts';
import type { FleetKey } from '../test/support/fleet.ts';
import { tags } from '../test/support/kms-truth.ts';
import { type Owner, type Service, startProcess } from '../test/support/process.ts';
import { kmsClient, kmsControl } from '../test/support/service.ts';
import { print, runBenchmark, startFleet } from './fleet.ts';
import { median } from './statistics.ts';

const { values } = parseArgs({
  options: { keys: { type: 'string', default: '2000' }, share: { type: 'string', default: '0.5' } },
});
const count = Number(values.keys);
/** Keys a second. */
const allowed = (standardQuotas['TagResource'] ?? 0) * Number(values.share);
const wantedRatio = 0.9;
const wantedPatch = 1000;
const change = { default_tags: { env: 'prod' } };

type Progress = Provider['progress'];

async function measure(owner: Owner): Promise<void> {
  const { connectionString, kmsUrl, keys } = await startFleet(owner, count, ['--quotas']);
  const control = kmsControl(kmsUrl);
  const environment = { DATABASE_URL: connectionString, KMS_ENDPOINT: kmsUrl, QUOTA_SHARE: values.share };
  print(`default_tags changed on ${count} keys, quotas on, share ${values.share}`);

  const first = await startProcess(owner, environment);
  await control.clear();
  const asked = performance.now();
  const { body } = await first.call<Provider>('PATCH', '/v1/providers/default', change);
  const accepted = performance.now() - asked;
  print(`the answer                 after ${accepted.toFixed(0)} ms; ${body.progress.keys_pending} keys pending`);
  const expected = (Date.parse(body.progress.expected_until ?? '') - Date.now()) / 1000;

  const half = await until(first, keys, (now) => now.keys_pending <= count / 2);
  const dead = performance.now();
  first.child.kill('SIGKILL');
  await first.ended;
  const second = await startProcess(owner, environment);
  const down = (performance.now() - dead) / 1000;
  const whole = await until(second, keys, (now) => now.keys_pending === 0);

  const seconds = (performance.now() - asked) / 1000 - down;
  const ratio = count / seconds / allowed;
  const patches = [...half, ...whole];
  const calls = await control.calls();
  const throttled = calls.filter(({ error }) => error === 'ThrottlingException').length;
  print(
    `the change reached all     ${seconds.toFixed(0)} s, and ${down.toFixed(1)} s between kill -9 and the next start; expected ${expected.toFixed(0)} s`,
  );
  print(`rate                       ${(count / seconds).toFixed(2)} keys/s; allowed ${allowed.toFixed(2)} keys/s`);
  print(`ratio                      ${ratio.toFixed(2)} (wanted: ${wantedRatio} or more)`);
  print(`TagResource calls          ${calls.filter(({ operation }) => operation === 'TagResource').length}`);
  print(`throttling answers         ${throttled} (wanted: 0)`);
  print(`keys that lack the tag     ${await lacking(kmsUrl, keys)} (wanted: 0)`);
  print(
    `${patches.length} PATCHes meanwhile       median ${median(patches).toFixed(0)} ms, slowest ${Math.max(...patches).toFixed(0)} ms (wanted: below ${wantedPatch} ms)`,
  );
}

/** Changes a key every few seconds until the change is so far. @returns the milliseconds that each took. */
async function until({ call }: Service, keys: FleetKey[], isSoFar: (now: Progress) => boolean): Promise<number[]> {
  const patches: number[] = [];
  for (let number = 0; ; number += 1) {
    const { body } = await call<Provider>('GET', '/v1/providers/default');
    if (isSoFar(body.progress)) return patches;
    if (number % 8 === 0) {
      const { id } = keys[(number * 7919) % keys.length] ?? { id: '' };
      const sent = performance.now();
      const { status } = await call('PATCH', `/v1/keys/${id}`, { description: `changed ${number}` });
      if (status !== 200) throw new Error(`PATCH answered ${status}`);
      patches.push(performance.now() - sent);
    }
    await delay(500);
  }
}

async function lacking(kmsUrl: string, keys: FleetKey[]): Promise<number> {
  await fetch(`${kmsUrl}/_local/settings`, { method: 'PUT', body: JSON.stringify({ quotas: false }) });
  const kms = kmsClient(kmsUrl);
  let count = 0;
  for (const { keyId } of keys) if ((await tags(kms, keyId))['env'] !== 'prod') count += 1;
  kms.destroy();
  return count;
}

await runBenchmark(measure);

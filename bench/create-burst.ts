/**
 * `npm run bench:create-burst`: many creates at once with KMS's quotas on. When is the first key made, at which rate do the others
 * follow, how many calls does KMS throttle, and how long does a change of another key wait meanwhile, at the same provider and
 * at another one? Options: --keys N, --share N.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { standardQuotas } from '../src/domain/request-quotas.ts';
import { type Owner, startProcess } from '../test/support/process.ts';
import { addProvider } from '../test/support/providers.ts';
import { type Call, kmsControl } from '../test/support/service.ts';
import { print, runBenchmark, startFleet } from './fleet.ts';

const { values } = parseArgs({
  options: { keys: { type: 'string', default: '500' }, share: { type: 'string', default: '0.5' } },
});
const count = Number(values.keys);
/** Keys a second. */
const allowed = (standardQuotas['CreateKey'] ?? 0) * Number(values.share);
const promptly = { prefer: 'respond-async' };

/** Asks for a key, and again when the service says so. @returns how often. */
async function untilAccepted(call: Call): Promise<number> {
  for (let times = 1; times < 20; times += 1) {
    const { status, headers } = await call('POST', '/v1/keys', {}, promptly);
    if (status === 202 || status === 201) return times;
    if (status !== 503) throw new Error(`POST answered ${status}`);
    await delay(Number(headers.get('retry-after')) * 1000);
  }
  throw new Error('A create was not accepted');
}

async function measure(owner: Owner): Promise<void> {
  const { connectionString, kmsUrl } = await startFleet(owner, 1, ['--quotas']);
  const control = kmsControl(kmsUrl);
  const environment = { DATABASE_URL: connectionString, KMS_ENDPOINT: kmsUrl, QUOTA_SHARE: values.share };
  const { call } = await startProcess(owner, environment);
  await addProvider(call, { name: 'elsewhere', region: 'eu-west-1' });
  const { body: here } = await call('POST', '/v1/keys', {});
  const { body: there } = await call('POST', '/v1/keys', { provider: 'elsewhere' });
  await control.clear();
  print(`${count} creates at once, quotas on, share ${values.share}: ${allowed} CreateKey a second are allowed`);
  const start = Date.now();
  const tries = await Promise.all(Array.from({ length: count }, () => untilAccepted(call)));
  const refused = tries.filter((times) => times > 1).length;
  print(`accepted                   after ${Date.now() - start} ms, ${refused} of them asked to come again`);
  const patched = async (id: string, number: number) => {
    const sent = performance.now();
    const { status } = await call('PATCH', `/v1/keys/${id}`, { description: `${number}` }, { prefer: 'wait=60' });
    return { milliseconds: performance.now() - sent, isHeld: status === 200 };
  };
  const waits: Record<string, { milliseconds: number; isHeld: boolean }[]> = { same: [], other: [] };
  let calls: Awaited<ReturnType<typeof control.calls>> = [];
  const deadline = Date.now() + (count / allowed) * 3000 + 60_000;
  for (let number = 0; calls.filter(({ error }) => error === null).length < count; number += 1) {
    if (Date.now() > deadline)
      throw new Error(`Of ${count} keys only ${calls.length} were made in three times the time`);
    waits['same']?.push(await patched(here.id, number));
    waits['other']?.push(await patched(there.id, number));
    await delay(1000);
    calls = (await control.calls()).filter(({ operation }) => operation === 'CreateKey');
  }
  const made = calls.filter(({ error }) => error === null).map(({ at }) => Date.parse(at) - start);
  const seconds = Math.max(...made) / 1000;
  const each = Map.groupBy(made, (at) => Math.floor(at / 1000));
  print(`first CreateKey            after ${Math.min(...made)} ms`);
  print(`made in the first 10 s     ${made.filter((at) => at < 10_000).length} (allowed ${allowed * 10})`);
  print(
    `rate                       ${(count / seconds).toFixed(2)} a second, ratio ${(count / seconds / allowed).toFixed(2)}`,
  );
  print(`most in one second         ${Math.max(...[...each.values()].map((second) => second.length))}`);
  print(`throttling answers         ${calls.filter(({ error }) => error === 'ThrottlingException').length}`);
  for (const [provider, taken] of Object.entries(waits)) {
    const slowest = Math.max(...taken.map(({ milliseconds }) => milliseconds));
    const unheld = taken.filter(({ isHeld }) => !isHeld).length;
    print(
      `PATCH at the ${provider.padEnd(5)} provider ${taken.length}, slowest ${slowest.toFixed(0)} ms, ${unheld} not held in 60 s`,
    );
  }
}

await runBenchmark(measure);
process.exit(0);

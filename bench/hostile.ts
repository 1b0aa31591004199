/**
 * `npm run bench:hostile`: what a quiet caller notices of a hostile one. Under each attack the quiet one reads its key, and the
 * control (Fastify with one prepared query, which nobody attacks) is read in turn: it tells what of a delay is the machine's.
 * The hostile one waits where it is told to (`Retry-After`): who does not is a flood, and stopped before it gets here.
 * Option: --seconds N (of each attack).
 */
import { Agent, get } from 'node:http';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { startEmbeddedPostgres } from '../src/local/postgres.ts';
import { addToken, adminToken, callerWith, withTokens } from '../test/support/access.ts';
import { firstUrl, type Owner, type Run, run, startProcess, temporaryFolder } from '../test/support/process.ts';
import { kmsControl } from '../test/support/service.ts';
import { print, runBenchmark } from './fleet.ts';
import { residentMegabytes } from './memory.ts';
import { median, quantile, reportLine } from './statistics.ts';

const { values } = parseArgs({ options: { seconds: { type: 'string', default: '10' } } });
const seconds = Number(values.seconds);

const attacks = {
  slow: '200 slow clients',
  waiting: '500 waiting writes',
  bodies: 'bodies of 512 KiB',
  headers: 'header flood',
  reads: '500 reads at once',
} as const;

/** Milliseconds between two reads of the quiet caller. */
const pause = 10;
/** Milliseconds in which an attack gets under way. */
const beginning = 2000;
/** Milliseconds in which memory is to come back. */
const patience = 90_000;

type Reader = () => Promise<number>;
type Times = { keyward: number[]; control: number[] };

async function measure(owner: Owner): Promise<void> {
  const folder = await temporaryFolder(owner);
  const { connectionString, stop } = await startEmbeddedPostgres(folder);
  owner.teardown(stop);
  const kms = run(owner, 'src/local/kms/main.ts', {}, ['--port', '0', '--data', path.join(folder, 'kms')]);
  const kmsUrl = await firstUrl(kms);
  const service = await startProcess(owner, {
    ...withTokens,
    DATABASE_URL: connectionString,
    KMS_ENDPOINT: kmsUrl,
    MAX_EVENT_LOOP_DELAY: '1000',
  });
  const control = run(owner, 'bench/control.ts', { DATABASE_URL: connectionString });
  const controlUrl = await firstUrl(control);

  const admin = callerWith(service.url, adminToken);
  const make = async (team: string) => (await admin('POST', '/v1/keys', { tags: { team } })).body.id;
  const [own, hidden] = [await make('payments'), await make('cards')];
  const quiet = await addToken(admin, { role: 'viewer', tags: { team: 'payments' } });
  const readers = {
    keyward: reader(`${service.url}/v1/keys/${own}`, quiet.token),
    control: reader(`${controlUrl}/v1/keys/${own}`, quiet.token),
  };

  print(reportLine(['', 'Keyward', 'control', '']));
  await watch(readers, 2);
  const ghost = '01980e6c-0000-7000-8000-000000000000';
  const at = (id: string) => reader(`${service.url}/v1/keys/${id}`, quiet.token, 404);
  print(reportOfHidden(await watch({ keyward: at(hidden), control: at(ghost) }, seconds)));
  const usual = await watch(readers, seconds);
  print(reportLine(['reads of a quiet caller', timesOf(usual.keyward), timesOf(usual.control), 'usual']));
  const before = residentMegabytes(service);

  let most = before;
  const sampling = setInterval(() => {
    most = Math.max(most, residentMegabytes(service));
  }, 500);
  owner.teardown(() => clearInterval(sampling));
  const kmsFaults = kmsControl(kmsUrl);
  for (const attack of [...(Object.keys(attacks) as (keyof typeof attacks)[]), 'all'] as const) {
    const kinds = attack === 'all' ? Object.keys(attacks) : [attack];
    await kmsFaults.fault({ operation: 'CreateKey', kind: 'no_answer_before_effect', times: null });
    // What one has used up of its limits by an attack is none of the next.
    const { token } = await addToken(admin, { role: 'editor' });
    const clients = kinds.map((kind) => run(owner, 'bench/hostile-clients.ts', {}, [kind, service.url, token, own]));
    await new Promise((resolve) => setTimeout(resolve, beginning));
    const times = await watch(readers, seconds);
    const told = await Promise.all(clients.map(end));
    await kmsFaults.clearFaults();
    const name = attack === 'all' ? 'all of them at once' : attacks[attack];
    print(reportLine([name, timesOf(times.keyward), timesOf(times.control), verdictOn(usual, times, told)]));
  }
  const after = await memoryComesBack(service, before);
  clearInterval(sampling);
  print(
    reportLine([
      'memory',
      `${before}, ${most}, ${after} MB`,
      '',
      'before, at most, after (wanted: at most 1.25 times)',
    ]),
  );
}

/** Reads in turn, at a pace that leaves the machine to the others. */
async function watch({ keyward, control }: { keyward: Reader; control: Reader }, duration: number): Promise<Times> {
  const times: Times = { keyward: [], control: [] };
  const until = performance.now() + duration * 1000;
  while (performance.now() < until) {
    // The first after a pause takes longer: it is the one as often as the other.
    const isFirst = times.keyward.length % 2 === 0;
    if (!isFirst) times.control.push(await control());
    times.keyward.push(await keyward());
    if (isFirst) times.control.push(await control());
    await new Promise((resolve) => setTimeout(resolve, pause));
  }
  return times;
}

/** Reads once, on a connection of its own that is kept. @returns milliseconds. */
function reader(url: string, token: string, wanted = 200): Reader {
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  return () =>
    new Promise((resolve, reject) => {
      const start = performance.now();
      const request = get(url, { agent, headers: { authorization: `Bearer ${token}` } }, (response) => {
        if (response.statusCode !== wanted) reject(new Error(`${url} answers ${response.statusCode}`));
        response.resume().on('end', () => resolve(performance.now() - start));
      });
      request.on('error', reject);
    });
}

async function end(client: Run): Promise<string> {
  client.child.kill('SIGTERM');
  await client.ended;
  return client.stdout().trim();
}

function timesOf(samples: number[]): string {
  return `${median(samples).toFixed(2)} ms (p95 ${quantile(samples, 0.95).toFixed(1)})`;
}

/** What the attackers take of the machine's CPU, beside which they run, meets the control as well. */
function verdictOn(usual: Times, times: Times, told: string[]): string {
  const factor = (name: keyof Times) => median(times[name]) / median(usual[name]);
  const [figure, control] = [factor('keyward'), factor('control')];
  const factors = `${figure.toFixed(2)} times the usual, control ${control.toFixed(2)}`;
  return `${factors}: ratio ${(figure / control).toFixed(2)} (wanted: at most 2); ${told.join('; ')}`;
}

function reportOfHidden({ keyward, control }: Times): string {
  const ratio = median(keyward) / median(control);
  const verdict = `ratio ${ratio.toFixed(3)}: a hidden key against none (wanted: 0.95 to 1.05)`;
  return reportLine(['404 to a limited caller', timesOf(keyward), timesOf(control), verdict]);
}

async function memoryComesBack(service: Pick<Run, 'child'>, before: number): Promise<number> {
  const until = performance.now() + patience;
  let now = residentMegabytes(service);
  while (now > before * 1.25 && performance.now() < until) {
    await new Promise((resolve) => setTimeout(resolve, 1000));
    now = residentMegabytes(service);
  }
  return now;
}

await runBenchmark(measure);
process.exit();

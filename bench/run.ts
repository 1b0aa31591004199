/**
 * `npm run bench`: reads, with a token too, creates and memory, each beside its control and from one run, since absolute times say little on
 * a machine that others use too. Options: --seconds N (of each read round), --rounds N, --creates N.
 */
import path from 'node:path';
import { parseArgs } from 'node:util';
import { startEmbeddedPostgres } from '../src/local/postgres.ts';
import { addToken, adminToken, callerWith, withTokens } from '../test/support/access.ts';
import { firstUrl, type Owner, run, startProcess, temporaryFolder } from '../test/support/process.ts';
import { measureCreates } from './creates.ts';
import { print, runBenchmark } from './fleet.ts';
import { residentMegabytes } from './memory.ts';
import { measureReads } from './reads.ts';
import { reportLine } from './statistics.ts';

const { values } = parseArgs({
  options: {
    seconds: { type: 'string', default: '4' },
    rounds: { type: 'string', default: '5' },
    creates: { type: 'string', default: '200' },
  },
});
/** Milliseconds after which a service that has just started counts as idle. */
const settleTime = 3000;

async function measure(owner: Owner): Promise<void> {
  const folder = await temporaryFolder(owner);
  const { connectionString, stop } = await startEmbeddedPostgres(folder);
  owner.teardown(stop);
  const kms = run(owner, 'src/local/kms/main.ts', {}, ['--port', '0', '--data', path.join(folder, 'kms')]);
  const kmsUrl = await firstUrl(kms);
  const service = await startProcess(owner, { DATABASE_URL: connectionString, KMS_ENDPOINT: kmsUrl });
  const control = run(owner, 'bench/control.ts', { DATABASE_URL: connectionString });
  const controlUrl = await firstUrl(control);

  print(reportLine(['', 'Keyward', 'control', '']));
  await new Promise((resolve) => setTimeout(resolve, settleTime));
  const [memory, controlMemory] = [residentMegabytes(service), residentMegabytes(control)];
  print(
    reportLine(['idle memory', `${memory} MB`, `${controlMemory} MB`, `ratio ${(memory / controlMemory).toFixed(2)}`]),
  );
  print(await measureCreates({ connectionString, kmsUrl, service, count: Number(values.creates) }));
  const { body } = await service.call('POST', '/v1/keys', { description: 'read me', tags: { team: 'payments' } });
  const key = `/v1/keys/${body.id}`;
  const rounds = { rounds: Number(values.rounds), seconds: Number(values.seconds) };
  const reads = { name: 'reads of one key', wanted: 0.6 };
  print(await measureReads(reads, { url: `${service.url}${key}` }, { url: `${controlUrl}${key}` }, rounds));
  print(await measureSignIn(owner, { DATABASE_URL: connectionString, KMS_ENDPOINT: kmsUrl, ROLE: 'api' }, key, rounds));
}

/** The same reads with a token, and, as the control, by a process that asks for none. */
async function measureSignIn(
  owner: Owner,
  environment: Record<string, string>,
  key: string,
  rounds: { rounds: number; seconds: number },
): Promise<string> {
  const [guarded, open] = [
    await startProcess(owner, { ...environment, ...withTokens }),
    await startProcess(owner, { ...environment, AUTH_MODE: 'none' }),
  ];
  const { token } = await addToken(callerWith(guarded.url, adminToken), { role: 'viewer' });
  const reads = { name: 'the same with a token', wanted: 0.95 };
  return measureReads(reads, { url: `${guarded.url}${key}`, token }, { url: `${open.url}${key}` }, rounds);
}

await runBenchmark(measure);

/**
 * The contract scenarios against a KMS that was written by others: `npm run test:moto`, `npm run test:ministack`, or
 * `npm run test:contract -- http://127.0.0.1:4566` for one that is running, to see what it can't do.
 */
import { startEmbeddedPostgres } from '../../src/local/postgres.ts';
import { allScenarios } from '../contract/all.ts';
import { otherRegion } from '../contract/scenario.ts';
import { startProcess, temporaryFolder } from '../support/process.ts';
import { kmsClient } from '../support/service.ts';
import { applicationScenarios } from './application.ts';
import { emulators, startEmulator } from './emulators.ts';

const scenarios = [...allScenarios, ...applicationScenarios];
const releases: (() => unknown)[] = [];
const owner = { teardown: (release: () => unknown) => releases.push(release) };
const say = (line: string) => process.stdout.write(`${line}\n`);

/** @returns whether each scenario passes, but for the gaps, which don't. */
async function judge(url: string, gaps: Record<string, string>): Promise<boolean> {
  const { connectionString, stop } = await startEmbeddedPostgres(await temporaryFolder(owner));
  owner.teardown(stop);
  const { call } = await startProcess(owner, { DATABASE_URL: connectionString, KMS_ENDPOINT: url, LOG_LEVEL: 'error' });
  const context = { call, kms: kmsClient(url), elsewhere: kmsClient(url, '111122223333', otherRegion) };
  const failures: string[] = [];
  let passed = 0;
  for (const { name, run } of scenarios) {
    const failure = await run(context).then(
      () => null,
      (error: Error) => error.message,
    );
    const gap = gaps[name];
    if ((failure === null) === (gap === undefined)) passed += 1;
    else failures.push(`${name}: ${failure ?? `it passes, and yet is among the gaps (${gap})`}`);
  }
  const unknown = Object.keys(gaps).filter((gap) => !scenarios.some(({ name }) => name === gap));
  failures.push(...unknown.map((name) => `there is no scenario ${name}`));
  for (const failure of failures) say(`not ok: ${failure}`);
  for (const [name, reason] of Object.entries(gaps)) say(`left out: ${name}: ${reason}`);
  say(`${passed} passed, ${failures.length} failed`);
  context.kms.destroy();
  context.elsewhere.destroy();
  return failures.length === 0;
}

async function judgeGiven(given = ''): Promise<boolean> {
  if (given.startsWith('http://')) return judge(given, {});
  const emulator = emulators[given];
  if (emulator === undefined) throw new Error(`Name one of ${Object.keys(emulators).join(', ')}, or a URL`);
  const url = await startEmulator(owner, given, emulator);
  if (url !== null) return judge(url, emulator.gaps);
  say('0 passed, 0 failed');
  return true;
}

let isRight = false;
try {
  isRight = await judgeGiven(process.argv[2]);
} catch (error) {
  say(`not ok: ${(error as Error).message}`);
} finally {
  for (const release of releases.reverse()) await release();
}
process.exit(isRight ? 0 : 1);

/** `npm run test:moto`: the contract scenarios against moto, a KMS that was written by others. */
import { spawn } from 'node:child_process';
import { createServer } from 'node:net';
import path from 'node:path';
import { startEmbeddedPostgres } from '../../src/local/postgres.ts';
import { allScenarios } from '../contract/all.ts';
import { otherRegion } from '../contract/scenario.ts';
import { startProcess, temporaryFolder } from '../support/process.ts';
import { eventually, kmsClient } from '../support/service.ts';
import { motoGaps } from './moto-gaps.ts';
import { pythonPrograms } from './python.ts';

const releases: (() => unknown)[] = [];
const owner = { teardown: (release: () => unknown) => releases.push(release) };

async function startMoto(): Promise<string> {
  const port = await freePort();
  const moto = spawn(path.join(pythonPrograms(), 'moto_server'), ['-p', String(port)], { stdio: 'ignore' });
  owner.teardown(() => moto.kill('SIGKILL'));
  const url = `http://127.0.0.1:${port}`;
  await eventually('moto answers', () =>
    fetch(`${url}/moto-api/data.json`).then(
      ({ ok }) => ok,
      () => false,
    ),
  );
  return url;
}

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  if (address === null || typeof address === 'string') throw new Error('No free port');
  return address.port;
}

async function judge(): Promise<boolean> {
  const motoUrl = await startMoto();
  const { connectionString, stop } = await startEmbeddedPostgres(await temporaryFolder(owner));
  owner.teardown(stop);
  const environment = { DATABASE_URL: connectionString, KMS_ENDPOINT: motoUrl, LOG_LEVEL: 'error' };
  const { call } = await startProcess(owner, environment);
  const context = { call, kms: kmsClient(motoUrl), elsewhere: kmsClient(motoUrl, '111122223333', otherRegion) };
  const counts = { passed: 0, failed: 0 };
  for (const { name, run } of allScenarios) {
    const failure = await run(context).then(
      () => null,
      (error: Error) => error,
    );
    const gap = motoGaps[name];
    if ((failure === null) === (gap === undefined)) {
      counts.passed += 1;
      continue;
    }
    counts.failed += 1;
    const reason = failure?.message ?? `it passes, and yet is among moto's gaps (${gap})`;
    process.stdout.write(`not ok: ${name}: ${reason}\n`);
  }
  const unknown = Object.keys(motoGaps).filter((gap) => !allScenarios.some(({ name }) => name === gap));
  for (const name of unknown) process.stdout.write(`not ok: there is no scenario ${name}\n`);
  const { passed, failed } = { ...counts, failed: counts.failed + unknown.length };
  process.stdout.write(
    `${Object.keys(motoGaps).length} scenarios are among moto's gaps\n${passed} passed, ${failed} failed\n`,
  );
  context.kms.destroy();
  context.elsewhere.destroy();
  return failed === 0;
}

let isRight = false;
try {
  isRight = await judge();
} finally {
  for (const release of releases.reverse()) await release();
}
process.exit(isRight ? 0 : 1);

/**
 * `npm run test:schemathesis`: schemathesis reads the OpenAPI document of a service, and sends what that allows and what it does
 * not, all its checks on, along the links of the document too. Options: --examples N (most cases of an operation), --seconds N,
 * --seed N (a new one each time, and printed), --report FILE (JSON lines of what was sent).
 */
import { spawn } from 'node:child_process';
import { randomInt } from 'node:crypto';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { adminToken, callerWith, withTokens } from '../support/access.ts';
import { startProcess, temporaryFolder } from '../support/process.ts';
import { pythonPrograms } from './python.ts';

const { values } = parseArgs({
  options: {
    examples: { type: 'string', default: '12' },
    seconds: { type: 'string' },
    seed: { type: 'string', default: String(randomInt(1_000_000)) },
    report: { type: 'string' },
  },
});
const folder = import.meta.dirname;
const releases: (() => unknown)[] = [];
const owner = { teardown: (release: () => unknown) => releases.push(release) };

/** Nobody is held back: what is asked here a caller does not ask in a minute. */
const withoutLimits = {
  RATE_LIMIT_WRITES: '0',
  MAX_FAILED_SIGN_INS: '0',
  MAX_WRITES_UNDER_WAY: '0',
  MAX_READS_UNDER_WAY: '0',
};

async function judge(programs: string): Promise<number> {
  const home = await temporaryFolder(owner);
  const environment = { DATA_DIR: path.join(home, 'data'), ...withTokens, ...withoutLimits };
  const { url } = await startProcess(owner, environment);
  const admin = callerWith(url, adminToken);
  const { items: tokens } = (await admin<{ items: { id: string }[] }>('GET', '/v1/tokens')).body;
  const { items: bindings } = (await admin<{ items: { id: string }[] }>('GET', '/v1/access/bindings')).body;
  const args = [
    ...['--config-file', path.join(folder, 'schemathesis.toml'), 'run', `${url}/openapi.json`, '--no-color'],
    ...['--seed', values.seed, '--max-examples', values.examples],
    ...(values.seconds === undefined ? [] : ['--max-time', values.seconds]),
    ...(values.report === undefined ? [] : ['--report', 'ndjson', '--report-ndjson-path', path.resolve(values.report)]),
  ];
  process.stdout.write(`seed ${values.seed}: npm run test:schemathesis -- --seed ${values.seed}\n`);
  const kept = [...tokens, ...bindings].map(({ id }) => id).join();
  const hooks = { PYTHONPATH: folder, PYTHONDONTWRITEBYTECODE: '1', SCHEMATHESIS_HOOKS: 'schemathesis_hooks' };
  const env = { ...process.env, ...hooks, KEPT_IDS: kept, KEYWARD_TOKEN: adminToken };
  const child = spawn(path.join(programs, 'schemathesis'), args, { stdio: 'inherit', env, cwd: home });
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code) => resolve(code ?? 1));
  });
}

let code = 1;
try {
  const programs = pythonPrograms('schemathesis', ['schemathesis==4.32.5']);
  if (programs === null) process.stdout.write('0 passed, 0 failed\n');
  code = programs === null ? 0 : await judge(programs);
} finally {
  for (const release of releases.reverse()) await release();
}
process.exit(code);

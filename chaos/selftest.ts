/**
 * Shows that the harness would notice: with a safeguard left out, it has to find a violation of the kind that the safeguard
 * prevents, within 200 runs. `npm run chaos:selftest -- [--seed N]`.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import path from 'node:path';
import { text } from 'node:stream/consumers';

const experiments = [
  { safeguard: 'no-ownership-search', expected: /VIOLATION (duplicate|no record)/ },
  { safeguard: 'no-fencing', expected: /VIOLATION (lost|duplicate|not owned)/ },
];
const runs = 200;
const seedGiven = process.argv.indexOf('--seed');
const seed = seedGiven === -1 ? '1' : (process.argv[seedGiven + 1] ?? '1');

let failed = 0;
for (const { safeguard, expected } of experiments) {
  const program = path.resolve(import.meta.dirname, 'run.ts');
  const args = ['--disable-warning=ExperimentalWarning', program, '--runs', String(runs), '--seed', seed];
  const chaos = spawn(process.execPath, [...args, '--switches', safeguard], { stdio: ['ignore', 'pipe', 'inherit'] });
  const [output, [code]] = await Promise.all([text(chaos.stdout), once(chaos, 'close')]);
  const isFound = code === 1 && expected.test(output);
  if (!isFound) failed += 1;
  const [found = 'nothing'] = /VIOLATION .*/.exec(output) ?? [];
  const [at = ''] = /^run \d+$/m.exec(output) ?? [];
  process.stdout.write(`${isFound ? 'ok' : 'not ok'} - ${safeguard}: ${at} ${found.slice(0, 200)}\n`);
}
process.stdout.write(`${experiments.length - failed} passed, ${failed} failed\n`);
process.exit(failed === 0 ? 0 : 1);

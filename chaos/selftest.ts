/**
 * Shows that the harness would notice: with a safeguard left out, it has to find a violation of the kind that the safeguard
 * prevents, within so many runs of the disturbances that it is there for. `npm run chaos:selftest -- [--seed N] [--only a,b]`.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import path from 'node:path';
import { text } from 'node:stream/consumers';
import { parseArgs } from 'node:util';
import type { FailureSwitch } from '../src/services/failure-points.ts';
import type { Kind } from './mix.ts';

type Experiment = { safeguard: FailureSwitch; faults: Kind[]; expected: RegExp; runs: number };

/** What the harness knew first: crashes, and answers that are lost. */
const crashes: Kind[] = ['failure-points', 'kill', 'freeze', 'answers', 'stale-reads'];

const experiments: Experiment[] = [
  { safeguard: 'no-ownership-search', faults: crashes, expected: /VIOLATION (duplicate|no record)/, runs: 200 },
  { safeguard: 'no-fencing', faults: crashes, expected: /VIOLATION (lost|duplicate|not owned)/, runs: 200 },
  { safeguard: 'no-search-before-create', faults: ['restore'], expected: /VIOLATION duplicate/, runs: 100 },
  { safeguard: 'no-hold', faults: ['restore'], expected: /VIOLATION held/, runs: 100 },
  {
    safeguard: 'no-clock-check',
    faults: ['fast-database-clock', 'answers'],
    expected: /VIOLATION duplicate/,
    runs: 150,
  },
  { safeguard: 'any-answer-proves', faults: ['odd-answers'], expected: /VIOLATION (no record|taken back)/, runs: 150 },
  { safeguard: 'denials-are-final', faults: ['strays'], expected: /VIOLATION taken back/, runs: 100 },
  {
    safeguard: 'states-are-guessed',
    faults: ['states', 'refresh'],
    expected: /VIOLATION (switched|adopted)/,
    runs: 150,
  },
];

const { values } = parseArgs({
  options: { seed: { type: 'string', default: '1' }, only: { type: 'string', default: '' } },
});
const only = values.only.split(',').filter((name) => name !== '');
const chosen = experiments.filter(({ safeguard }) => only.length === 0 || only.includes(safeguard));

/** @returns whether the damage was found. */
async function find({ safeguard, faults, expected, runs }: Experiment): Promise<boolean> {
  const program = path.resolve(import.meta.dirname, 'run.ts');
  const args = ['--disable-warning=ExperimentalWarning', program, '--runs', String(runs), '--seed', values.seed];
  args.push('--faults', faults.join(','), '--switches', safeguard);
  const start = performance.now();
  const chaos = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] });
  const [output, [code]] = await Promise.all([text(chaos.stdout), once(chaos, 'close')]);
  const found = output.match(/VIOLATION .*/g) ?? [];
  const isFound = code === 1 && found.some((violation) => expected.test(violation));
  const [at = ''] = /^run \d+$/m.exec(output) ?? [];
  const shown = found.find((violation) => expected.test(violation)) ?? found[0] ?? 'nothing';
  const seconds = Math.round((performance.now() - start) / 1000);
  process.stdout.write(`${isFound ? 'ok' : 'not ok'} - ${safeguard}: ${at} ${shown.slice(0, 200)} (${seconds} s)\n`);
  return isFound;
}

let failed = 0;
for (const experiment of chosen) if (!(await find(experiment))) failed += 1;
process.stdout.write(`${chosen.length - failed} passed, ${failed} failed\n`);
process.exit(failed === 0 ? 0 : 1);

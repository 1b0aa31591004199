/**
 * Shows that the harness would notice: with a safeguard left out, it has to find a violation of the kind that the safeguard
 * prevents, within so many runs of the disturbances that it is there for. A run mostly waits, so several experiments go on at once.
 * `npm run chaos:selftest -- [--seed N] [--only a,b] [--jobs 4]`.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import path from 'node:path';
import { text } from 'node:stream/consumers';
import { parseArgs } from 'node:util';
import type { FailureSwitch } from '../src/services/failure-points.ts';
import type { Kind } from './mix.ts';

type Experiment = { safeguard: FailureSwitch; faults: Kind[]; expected: RegExp; runs: number };

/** What the harness knew first: crashes, and answers that are lost. */
const crashes: Kind[] = ['failure-points', 'kill', 'freeze', 'answers', 'stale-reads'];

/** Those that take longest come first. */
const experiments: Experiment[] = [
  { safeguard: 'no-standstill-bound', faults: ['hang'], expected: /VIOLATION not settled/, runs: 3 },
  { safeguard: 'no-fencing', faults: ['late-write'], expected: /VIOLATION lost/, runs: 20 },
  {
    safeguard: 'no-clock-check',
    faults: ['fast-database-clock', 'answers'],
    expected: /VIOLATION duplicate/,
    runs: 150,
  },
  { safeguard: 'no-ownership-search', faults: crashes, expected: /VIOLATION (duplicate|no record)/, runs: 200 },
  { safeguard: 'one-not-found-is-final', faults: ['strays', 'refresh'], expected: /VIOLATION given up/, runs: 100 },
  { safeguard: 'no-search-before-create', faults: ['restore'], expected: /VIOLATION duplicate/, runs: 100 },
  { safeguard: 'no-hold', faults: ['restore'], expected: /VIOLATION held/, runs: 100 },
  { safeguard: 'any-answer-proves', faults: ['odd-answers'], expected: /VIOLATION (no record|taken back)/, runs: 150 },
  { safeguard: 'denials-are-final', faults: ['strays'], expected: /VIOLATION taken back/, runs: 100 },
  { safeguard: 'states-are-guessed', faults: ['states'], expected: /VIOLATION (switched|lost: key_state)/, runs: 50 },
  { safeguard: 'refusal-deletes-unproven', faults: ['planted-key'], expected: /VIOLATION deleted/, runs: 10 },
  { safeguard: 'no-effect-check', faults: ['insistence'], expected: /VIOLATION in vain/, runs: 10 },
  { safeguard: 'tags-are-believed', faults: ['dropped-tags'], expected: /VIOLATION unmarked/, runs: 10 },
  { safeguard: 'no-going-back', faults: ['throttled-rotation'], expected: /VIOLATION usable/, runs: 10 },
];

const { values } = parseArgs({
  options: {
    seed: { type: 'string', default: '1' },
    only: { type: 'string', default: '' },
    jobs: { type: 'string', default: '4' },
  },
});
const only = values.only.split(',').filter((name) => name !== '');
const chosen = experiments.filter(({ safeguard }) => only.length === 0 || only.includes(safeguard));
const children = new Set<ChildProcess>();
for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.once(signal, () => {
    for (const child of children) child.kill(signal);
    process.exitCode = 130;
  });
}

/** @returns whether the damage was found. */
async function find({ safeguard, faults, expected, runs }: Experiment): Promise<boolean> {
  const program = path.resolve(import.meta.dirname, 'run.ts');
  const args = ['--disable-warning=ExperimentalWarning', program, '--runs', String(runs), '--seed', values.seed];
  args.push('--jobs', '2', '--faults', faults.join(','), '--switches', safeguard);
  const start = performance.now();
  const chaos = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] });
  children.add(chaos);
  const [output, [code]] = await Promise.all([text(chaos.stdout), once(chaos, 'close')]);
  children.delete(chaos);
  const found = output.match(/VIOLATION .*/g) ?? [];
  const isFound = code === 1 && found.some((violation) => expected.test(violation));
  const [at = ''] = /^run \d+$/m.exec(output) ?? [];
  const shown = found.find((violation) => expected.test(violation)) ?? found[0] ?? 'nothing';
  const seconds = Math.round((performance.now() - start) / 1000);
  process.stdout.write(`${isFound ? 'ok' : 'not ok'} - ${safeguard}: ${at} ${shown.slice(0, 200)} (${seconds} s)\n`);
  return isFound;
}

let failed = 0;
const waiting = chosen.values();
await Promise.all(
  Array.from({ length: Math.max(1, Number(values.jobs)) }, async () => {
    for (const experiment of waiting) if (process.exitCode === undefined && !(await find(experiment))) failed += 1;
  }),
);
process.stdout.write(`${chosen.length - failed} passed, ${failed} failed\n`);
process.exit(process.exitCode ?? (failed === 0 ? 0 : 1));

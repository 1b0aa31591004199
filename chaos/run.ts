/**
 * Tries to break the service: `npm run chaos -- [--runs 100] [--seed N] [--first 1] [--jobs 3] [--faults a,b]
 * [--switches a,b]`. The seed
 * repeats the choices of every run, and `--first` begins with a later one. A run mostly waits, so several go on at once, each
 * in a lab of its own; the choices are the same again with the same `--jobs`. Ends with 1 when an invariant was violated.
 */
import { randomInt } from 'node:crypto';
import { parseArgs } from 'node:util';
import { stopWithNpm } from '../src/orphan.ts';
import { failureSwitches } from '../src/variables.ts';
import { checkAtRest, experiment, type World } from './experiment.ts';
import { historiesIn } from './history.ts';
import { violations } from './invariants.ts';
import { type Lab, openLab } from './lab.ts';
import { Ledger } from './ledger.ts';
import { kinds, Mix } from './mix.ts';
import { allRegions } from './places.ts';
import { seededRandom } from './random.ts';
import { Tally } from './tally.ts';

const usage = `Usage: npm run chaos -- [--runs 100] [--seed 1234] [--first 1] [--jobs 3] [--faults ${kinds.join(',')}] [--switches ${failureSwitches.join(',')}]`;

function readArguments() {
  const { values } = parseArgs({
    options: {
      runs: { type: 'string', default: '100' },
      seed: { type: 'string', default: String(randomInt(1_000_000)) },
      first: { type: 'string', default: '1' },
      jobs: { type: 'string', default: '3' },
      faults: { type: 'string', default: '' },
      without: { type: 'string', default: '' },
      switches: { type: 'string', default: '' },
      verbose: { type: 'boolean', default: false },
    },
  });
  const given = [values.runs, values.seed, values.first, values.jobs].map(Number);
  const [runs, seed, first, jobs] = given;
  if (!runs || !first || !jobs || seed === undefined || !given.every(Number.isSafeInteger)) throw new Error(usage);
  return {
    runs,
    seed,
    first,
    jobs: Math.min(jobs, runs),
    mix: new Mix(listed(values.faults), listed(values.without)),
    switches: listed(values.switches),
    verbose: values.verbose,
  };
}

function listed(text: string): string[] {
  return text.split(',').filter((name) => name !== '');
}

const closers: (() => unknown)[] = [];
const owner = { teardown: (release: () => unknown) => closers.push(release) };

async function close(): Promise<void> {
  for (const closer of closers.splice(0).reverse()) await closer();
}

async function main(): Promise<boolean> {
  const { runs, seed, first, jobs, mix, switches, verbose } = readArguments();
  process.stdout.write(`seed ${seed}, runs ${first} to ${first + runs - 1}, ${jobs} at once\n`);
  const labs = await Promise.all(Array.from({ length: jobs }, () => openLab(owner, switches)));
  const tally = new Tally(labs);
  await Promise.all(labs.map((lab, index) => work(lab, first + index)));
  process.stdout.write(await tally.summary());
  return tally.failed === 0;

  async function work(lab: Lab, firstOfItsOwn: number): Promise<void> {
    const world: World = { lab, mix, ledger: new Ledger(), ids: [], members: [] };
    for (let run = firstOfItsOwn; run < first + runs; run += jobs) {
      // What is wrong stays wrong: later runs would only repeat it.
      if (tally.failed > 0) return;
      const outcome = await experiment(
        { ...world, mix: mix.forRun(run) },
        seededRandom(seed * 1_000_003 + run),
        `run ${run}`,
      );
      tally.add(run, outcome);
      if (verbose || outcome.violations.length > 0) report(run, outcome.plan, outcome.violations);
      else if (outcome.openForLong !== null) report(run, outcome.plan, [`(slow) ${outcome.openForLong}`]);
      else if (tally.runs % 25 === 0) process.stdout.write(`${tally.runs} runs\n`);
      if (outcome.violations.length > 0)
        process.stdout.write(await historiesIn(outcome.violations, await lab.database()));
    }
    if (tally.failed === 0) tally.addLast(await everything(world));
  }
}

async function everything(world: World): Promise<string[]> {
  const { lab, ledger } = world;
  const { lost, rotatedUnseen } = ledger;
  const wards = new Set(ledger.allWards.keys());
  const found = await checkAtRest(world, async () => {
    const database = await lab.database();
    const expected = { foreign: await ledger.foreignKeys(database), lost, rotatedUnseen, wards };
    const violated: string[] = [];
    for (const region of allRegions)
      violated.push(...(await violations({ kms: lab.kmsIn(region), database }, expected)));
    return violated;
  });
  for (const violation of found) process.stdout.write(`at the end: VIOLATION ${violation}\n`);
  if (found.length > 0) process.stdout.write(await historiesIn(found, await lab.database()));
  return found;
}

function report(run: number, plan: string[], found: string[]): void {
  const lines = [
    `run ${run}`,
    ...plan.map((line) => `  ${line}`),
    ...found.map((line) => (line.startsWith('(') ? `  ${line}` : `  VIOLATION ${line}`)),
  ];
  process.stdout.write(`${lines.join('\n')}\n`);
}

for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => close().then(() => process.exit(130)));
stopWithNpm();

let passed = false;
try {
  passed = await main();
} catch (error) {
  process.stderr.write(`${error instanceof Error ? (error.stack ?? error.message) : error}\n`);
  if (error instanceof Error && error.cause !== undefined) process.stderr.write(`${String(error.cause)}\n`);
} finally {
  await close();
}
process.exit(passed ? 0 : 1);

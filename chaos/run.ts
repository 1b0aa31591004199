/**
 * Tries to break the service: `npm run chaos -- [--runs 100] [--seed N] [--first 1] [--switches a,b]`. The seed repeats the
 * choices of every run, and `--first` begins with a later one. Ends with 1 when an invariant was violated.
 */
import { randomInt } from 'node:crypto';
import { parseArgs } from 'node:util';
import { failureSwitches } from '../src/config.ts';
import { experiment, type World } from './experiment.ts';
import { historiesIn } from './history.ts';
import { violations } from './invariants.ts';
import { type Lab, openLab } from './lab.ts';
import { Ledger } from './ledger.ts';
import { seededRandom } from './random.ts';
import { Tally } from './tally.ts';

const usage = `Usage: npm run chaos -- [--runs 100] [--seed 1234] [--first 1] [--switches ${failureSwitches.join(',')}]`;

function readArguments() {
  const { values } = parseArgs({
    options: {
      runs: { type: 'string', default: '100' },
      seed: { type: 'string', default: String(randomInt(1_000_000)) },
      first: { type: 'string', default: '1' },
      switches: { type: 'string', default: '' },
      verbose: { type: 'boolean', default: false },
    },
  });
  const [runs, seed, first] = [values.runs, values.seed, values.first].map(Number);
  if (!runs || !first || seed === undefined || ![runs, seed, first].every(Number.isSafeInteger)) throw new Error(usage);
  return {
    runs,
    seed,
    first,
    switches: values.switches.split(',').filter((name) => name !== ''),
    verbose: values.verbose,
  };
}

const closers: (() => unknown)[] = [];
const owner = { teardown: (release: () => unknown) => closers.push(release) };

async function close(): Promise<void> {
  for (const closer of closers.splice(0).reverse()) await closer();
}

async function main(): Promise<boolean> {
  const { runs, seed, first, switches, verbose } = readArguments();
  process.stdout.write(`seed ${seed}, runs ${first} to ${first + runs - 1}\n`);
  const lab = await openLab(owner, switches);
  const tally = new Tally(lab);
  const world: World = { lab, ledger: new Ledger(), ids: [] };
  for (let run = first; run < first + runs; run += 1) {
    const outcome = await experiment(world, seededRandom(seed * 1_000_003 + run), `run ${run}`);
    await tally.add(run, outcome);
    if (verbose || outcome.violations.length > 0) report(run, outcome.plan, outcome.violations);
    else if (run % 25 === 0) process.stdout.write(`${run - first + 1} runs\n`);
    if (outcome.violations.length > 0)
      process.stdout.write(await historiesIn(outcome.violations, await lab.database()));
    // What is wrong stays wrong: later runs would only repeat it.
    if (outcome.violations.length > 0) break;
  }
  if (tally.failed === 0) tally.addLast(await everything(lab, world.ledger));
  process.stdout.write(await tally.summary());
  return tally.failed === 0;
}

async function everything(lab: Lab, ledger: Ledger): Promise<string[]> {
  const database = await lab.database();
  return violations({ kms: lab.kms, database }, { foreign: await ledger.foreignKeys(database), lost: ledger.lost });
}

function report(run: number, plan: string[], found: string[]): void {
  const lines = [`run ${run}`, ...plan.map((line) => `  ${line}`), ...found.map((line) => `  VIOLATION ${line}`)];
  process.stdout.write(`${lines.join('\n')}\n`);
}

for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => close().then(() => process.exit(130)));

let passed = false;
try {
  passed = await main();
} catch (error) {
  process.stderr.write(`${error instanceof Error ? (error.stack ?? error.message) : error}\n`);
} finally {
  await close();
}
process.exit(passed ? 0 : 1);

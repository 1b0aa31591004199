/** keyward apply: makes keys what files declare. */
import type { Command } from 'commander';
import { collect } from '../arguments.ts';
import { asksYes, canAsk } from '../ask.ts';
import { act, type Context, leaf } from '../command.ts';
import { type Declaration, readDeclarations } from '../documents.ts';
import { exitCodes, Failure, misuse, type Problem, Refusal } from '../errors.ts';
import { type Io, paint, visible } from '../io.ts';
import { findKey, settled } from '../keys.ts';
import { hasSomethingToDo, isRefused, printPlan } from '../plan.ts';
import { printJson, say } from '../print.ts';
import { fieldOf, printPlaces } from '../problem.ts';
import { openBar } from '../progress.ts';
import { rawAnswer, type Schemas, type Session } from '../session.ts';

type Result = Schemas['ApplyResult'];
type Options = { file: string[]; plan?: boolean; yes?: boolean; takeAliases?: boolean };

/** Keys in one request: few enough for KMS to make them while the request waits. */
const batchSize = { plan: 500, apply: 50 };

/** Bytes of a request, well below what the service takes. */
const largestBody = 8 * 1024 * 1024;

function* batchesOf(declared: Declaration[], size: number): Generator<Declaration[]> {
  let batch: Declaration[] = [];
  let bytes = 0;
  for (const one of declared) {
    const length = Buffer.byteLength(JSON.stringify(one.value));
    if (batch.length === size || (bytes + length > largestBody && batch.length > 0)) {
      yield batch;
      batch = [];
      bytes = 0;
    }
    batch.push(one);
    bytes += length + 1;
  }
  if (batch.length > 0) yield batch;
}

/** What was wrong with lines, said of the files that they come from. */
function placed(problem: Problem, batch: Declaration[]): Failure | Refusal {
  const errors = problem.errors ?? [];
  if (!errors.some(({ line }) => line !== undefined)) return new Refusal(problem);
  const inFiles = errors.map(({ line = 0, pointer = '', ...error }) => {
    const place = batch[line - 1]?.placeOf(pointer) ?? '';
    return { ...error, parameter: `${place} ${fieldOf(pointer)}`.trim() };
  });
  return new Refusal({ ...problem, errors: inFiles });
}

/** Parameters of the request. */
type Query = { dry_run?: 'true'; take_aliases?: 'true' };

async function send(session: Session, batch: Declaration[], query: Query): Promise<Result[]> {
  const body = batch.map(({ value }) => `${JSON.stringify(value)}\n`).join('');
  const headers = { 'Content-Type': 'application/x-ndjson' };
  try {
    const path = `/v1/keys/apply?${new URLSearchParams(query)}`;
    const answer = await rawAnswer(session, path, { method: 'POST', headers, body });
    const lines = (await answer.text()).split('\n').filter((line) => line !== '');
    return lines.map((line) => JSON.parse(line) as Result);
  } catch (error) {
    throw error instanceof Refusal ? placed(error.problem, batch) : error;
  }
}

type Planned = { declared: Declaration; result: Result };

async function planAll(session: Session, declared: Declaration[], query: Query): Promise<Planned[]> {
  const planned: Planned[] = [];
  for (const batch of batchesOf(declared, batchSize.plan)) {
    const results = await send(session, batch, { ...query, dry_run: 'true' });
    planned.push(
      ...results.flatMap((result, index) => {
        const one = batch[index];
        return one === undefined ? [] : [{ declared: one, result }];
      }),
    );
  }
  return planned;
}

const verbs: Record<string, string> = { created: 'create', updated: 'update', imported: 'import' };

/** What can be said of a key before it is there. */
function nameOf({ declared: { value }, result: { id } }: Planned): string {
  const { description } = value;
  return typeof description === 'string' && description !== '' ? `${id} ${JSON.stringify(description)}` : id;
}

const isFailed = ({ result: { outcome, plan } }: Planned) =>
  outcome === 'failed' || (plan !== undefined && isRefused(plan));
const isChange = ({ result: { outcome, plan } }: Planned) =>
  outcome !== 'unchanged' &&
  outcome !== 'failed' &&
  (outcome !== 'updated' || plan === undefined || hasSomethingToDo(plan));

/** `2 to create, 1 to update`, or of what is over `2 created`. */
function summary(results: Result[], words: (outcome: string) => string): string {
  const counts = new Map<string, number>();
  for (const { outcome } of results) counts.set(outcome, (counts.get(outcome) ?? 0) + 1);
  return [...counts].map(([outcome, number]) => `${number} ${words(outcome)}`).join(', ');
}

const toDo = (outcome: string) => (verbs[outcome] === undefined ? outcome : `to ${verbs[outcome]}`);

function printProblems(io: Io, failed: Planned[]): void {
  const told = failed.flatMap(({ declared, result: { problem } }) =>
    problem === undefined ? [] : [{ declared, problem }],
  );
  if (told.length === 0) return;
  printPlaces(
    io,
    told.map(({ declared, problem }) => [declared.placeOf(), `${problem.title}: ${problem.detail}`]),
  );
}

function show(session: Session, planned: Planned[]): void {
  const { io, json } = session;
  if (json) {
    for (const { result } of planned) printJson(io, result);
    return;
  }
  for (const one of planned.filter(isChange)) {
    if (one.result.plan !== undefined)
      printPlan(io, verbs[one.result.outcome] ?? 'update', nameOf(one), one.result.plan);
  }
  if (planned.some(isChange)) {
    const results = planned.map(({ result }) => result);
    io.stdout.write(`${paint(io.stdout, 'bold', visible(summary(results, toDo)))}\n`);
  }
}

/** Applies what was planned, and waits until KMS holds it. */
async function applyAll(session: Session, planned: Planned[], query: Query): Promise<Planned[]> {
  const { io } = session;
  const changes = planned.filter(isChange);
  const bar = openBar(io);
  const applied: Planned[] = [];
  session.underWay =
    'What was sent is recorded, and Keyward goes on with it. The same files applied again do the rest.';
  try {
    for (const batch of batchesOf(
      changes.map(({ declared }) => declared),
      batchSize.apply,
    )) {
      bar.update(applied.length, changes.length, 'applied');
      const results = await send(session, batch, query);
      for (const [index, result] of results.entries()) {
        const declared = batch[index];
        if (declared !== undefined) applied.push({ declared, result });
      }
      bar.update(applied.length, changes.length, 'applied');
    }
  } finally {
    bar.stop();
  }
  for (const { result } of applied.filter(({ result }) => result.pending)) {
    const { key } = await findKey(session, result.id);
    result.state = (await settled(session, key)).status.state;
    result.pending = false;
  }
  return applied;
}

async function apply(session: Session, options: Options): Promise<number> {
  const { io, json } = session;
  const { plan: isPlan = false, yes = false, file: files } = options;
  if (!isPlan && !yes && !canAsk(io)) {
    throw misuse(
      'This asks before it goes on, and there is no terminal to ask on.',
      '--yes goes on unasked; --plan only looks.',
    );
  }
  const declared = (await Promise.all(files.map((file) => readDeclarations(io, file)))).flat();
  if (declared.length === 0) throw misuse(`There is no key in ${files.join(', ')}.`);
  const query: Query = options.takeAliases === true ? { take_aliases: 'true' } : {};
  const planned = await planAll(session, declared, query);
  if (isPlan || !json) show(session, planned);
  const failed = planned.filter(isFailed);
  if (failed.length > 0) {
    printProblems(io, failed);
    throw new Failure(`${failed.length} of ${planned.length} can't be had; nothing was changed.`);
  }
  const isToDo = planned.some(isChange);
  if (!isToDo) say(io, `Nothing to do: ${planned.length} unchanged.`);
  if (isPlan || !isToDo) return isToDo ? exitCodes.toDo : exitCodes.ok;
  if (!yes && !(await asksYes(io, 'Apply this?'))) throw new Failure('Nothing was changed.');
  const applied = await applyAll(session, planned, query);
  if (json) for (const { result } of applied) printJson(io, result);
  say(
    io,
    `${summary(
      applied.map(({ result }) => result),
      (outcome) => outcome,
    )}.`,
  );
  const lost = applied.filter(({ result }) => result.outcome === 'failed');
  printProblems(io, lost);
  return lost.length > 0 ? exitCodes.failed : exitCodes.ok;
}

export function addApply(context: Context, program: Command): void {
  const command = leaf(program, 'apply', {
    summary: 'Make keys what files declare, after showing what would be done',
    more: `A file has a YAML document for each key, as keyward export writes them. A key is known by its id; one that is not there is
made, or, where the document names a key in KMS, imported. What a document leaves out has its default. No key is ever deleted.
With --plan: exit code 0: nothing to do; 2: something; 1: something that would be refused.`.replaceAll('\n', ' '),
    examples: ['keyward apply -f keys.yaml --plan', 'keyward apply -f keys.yaml --yes'],
  })
    .requiredOption('-f, --file <file>', 'a file, - for standard input; can be given again', collect)
    .option('--plan', 'only say what would be done')
    .option('--take-aliases', 'take an alias from the key that has it, in place of a refusal')
    .option('--yes', 'do not ask');
  act<Options>(context, command, apply);
}

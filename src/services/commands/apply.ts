/**
 * Makes many keys what lines declare: each line is a PUT of its key, or, where it names a KMS key that no record has, an import of
 * that. All lines are checked before anything is done.
 */
import { isDeepStrictEqual } from 'node:util';
import type { TakenAlias } from '../../domain/aliases.ts';
import { type ArgumentName, immutableArguments, ofPrimary } from '../../domain/arguments.ts';
import { isTold, valueIn } from '../../domain/comparison.ts';
import { unattainable } from '../../domain/refusals.ts';
import type { ObservedKey, Violation } from '../../domain/types.ts';
import type { ApplyOutcome } from '../../schemas/key-lines.ts';
import type { Plan } from '../../schemas/plan.ts';
import { forbidden, placeOf } from '../access/keys.ts';
import type { Services } from '../context.ts';
import { findAmong, lookUpKey } from '../keys/find.ts';
import { assertManaged } from '../keys/preconditions.ts';
import { conflict, type Input, invalidInput, keyNotFound, ProblemError } from '../problems.ts';
import { type DeclaredKey, declaredOf, driftOf } from '../rows/declared.ts';
import type { KeyRow } from '../rows/key-row.ts';
import type { Command } from './declare.ts';
import { type ImportedAs, type ImportRequest, importKey } from './import.ts';
import { declaredByCreate, declaredByPut, type PatchTarget, patchTarget } from './input.ts';
import { eachOf, partsOf } from './many.ts';
import { planChange, planCreate, planImport } from './plan.ts';
import { declareWhole, putKey } from './put.ts';
import { replicateKey } from './replicate.ts';

/** A line: the key that it declares, as a PUT would, and the KMS key that it says this is. */
export type DeclaredLine = {
  line: number;
  id: string;
  /** null: it names none, and one is to be made. */
  kmsKey: { arn: string | null; key_id: string } | null;
  /** Of a replica: the id of its primary key. */
  replicaOf: string | null;
  provider: string;
  input: Input;
};

/** What became of a line, or would. `error`: why nothing was done. */
export type AppliedLine = {
  line: number;
  id: string;
  outcome: ApplyOutcome;
  pending: boolean;
  row: KeyRow | null;
  taken?: TakenAlias[];
  plan?: Plan;
  error?: unknown;
};

/**
 * Milliseconds of one request in which lines are begun. A proxy, and Keyward itself, gives up a connection that is silent for much
 * longer, and its lines would be carried out with nobody to be told.
 */
const longestWork = 45_000;

/** What is to be done for a line. */
type Decision =
  | { kind: 'create' }
  | { kind: 'replicate'; of: string; input: Input }
  | { kind: 'import'; request: ImportRequest }
  | { kind: 'change'; row: KeyRow; target: PatchTarget; declared: DeclaredKey }
  | { kind: 'fail'; error: unknown };

/**
 * Carries out the lines. What one of them can't have is told of that line, and the others go on.
 * @throws ProblemError invalid-input where lines break rules, with all of that; nothing was done then.
 */
export async function applyLines(
  services: Services,
  lines: readonly DeclaredLine[],
  command: Command,
): Promise<AppliedLine[]> {
  const until = Date.now() + longestWork;
  const partOf = partsOf(command);
  const decided = await decide(services, lines, command);
  const work = ([line, decision]: [DeclaredLine, Decision]) => {
    const part = partOf(line.id);
    return settled(line, decision, until, () => carryOut(services, line, decision, part));
  };
  // Their primary keys may be among the others.
  const [replicas = [], others = []] = [true, false].map((isReplica) =>
    decided.filter(([, { kind }]) => (kind === 'replicate') === isReplica),
  );
  const done = [...(await eachOf(others, work)), ...(await eachOf(replicas, work))];
  return done.sort((one, other) => one.line - other.line);
}

/** What applyLines would do. Records nothing. @throws ProblemError as that does. */
export async function planLines(
  services: Services,
  lines: readonly DeclaredLine[],
  command: Command,
): Promise<AppliedLine[]> {
  const until = Date.now() + longestWork;
  const decided = await decide(services, lines, command);
  return eachOf(decided, ([line, decision]) =>
    settled(line, decision, until, async () => {
      const row = decision.kind === 'change' ? decision.row : null;
      const plan = await planOf(services, line, decision, command);
      return { outcome: outcomeOf(decision), pending: false, row, plan };
    }),
  );
}

type Settled = Omit<AppliedLine, 'line' | 'id'>;

/** @param until when what has not been begun is left to another request. */
async function settled(
  { line, id }: DeclaredLine,
  decision: Decision,
  until: number,
  work: () => Promise<Settled>,
): Promise<AppliedLine> {
  const row = decision.kind === 'change' ? decision.row : null;
  try {
    if (Date.now() > until) throw notBegun();
    return { line, id, ...(await work()) };
  } catch (error) {
    return { line, id, outcome: 'failed', pending: false, row, error };
  }
}

function notBegun(): ProblemError {
  const detail = `The lines before it took ${longestWork / 1000} seconds, and nothing was done about this one: send the same lines again.`;
  return new ProblemError('temporarily-unavailable', detail);
}

/** What each line asks for, in their order. @throws ProblemError invalid-input */
async function decide(services: Services, lines: readonly DeclaredLine[], command: Command) {
  const ids = lines.map(({ id }) => id);
  const rows = new Map((await findAmong(services, ids)).map((row) => [row.id, row]));
  const violations = repeated(lines);
  const decided = await eachOf(lines, async (line): Promise<[DeclaredLine, Decision]> => {
    try {
      return [line, await decideOn(services, line, rows.get(line.id), command)];
    } catch (error) {
      if (!(error instanceof ProblemError) || error.kind !== 'invalid-input') return [line, { kind: 'fail', error }];
      violations.push(
        ...(error.errors ?? []).map(({ pointer = '', ...rest }) => ({ ...rest, pointer, line: line.line })),
      );
      return [line, { kind: 'fail', error }];
    }
  });
  if (violations.length > 0) throw invalidInput(violations.sort((one, other) => (one.line ?? 0) - (other.line ?? 0)));
  return decided;
}

/** Two lines of one key would undo each other. */
function repeated(lines: readonly DeclaredLine[]): Violation[] {
  const seen = new Map<string, number>();
  return lines.flatMap(({ line, id, kmsKey, provider }) => {
    const names = [
      ['/id', id],
      ...(kmsKey === null ? [] : [['/key_id', kmsKey.arn ?? `${kmsKey.key_id} at ${provider}`]]),
    ] as const;
    return names.flatMap(([pointer = '', name = '']) => {
      const before = seen.get(name);
      if (before === undefined) seen.set(name, line);
      if (before === undefined || before === line) return [];
      return [{ line, pointer, code: 'incompatible' as const, detail: `Line ${before} is of this key too.` }];
    });
  });
}

/** @throws ProblemError */
async function decideOn(
  services: Services,
  line: DeclaredLine,
  row: KeyRow | undefined,
  { rights: { access } }: Command,
): Promise<Decision> {
  if (row !== undefined) {
    if (!access.may('keys:read', placeOf(row))) throw keyNotFound(line.id);
    if (!access.may('keys:update', placeOf(row))) throw forbidden('keys:update');
    assertSameKey(line, row);
    assertManaged(row);
    const target = await patchTarget(services, row);
    return { kind: 'change', row, target, declared: declaredByPut(services, target, line.input) };
  }
  const permission = line.kmsKey === null ? 'keys:create' : 'keys:import';
  if (!access.hasSomewhere(permission)) throw forbidden(permission);
  const { declared } = await declaredByCreate(services, line.input, { access, permission });
  if (line.kmsKey === null) return line.replicaOf === null ? { kind: 'create' } : replication(line, line.replicaOf);
  const as: ImportedAs = { id: line.id, declare: (observed) => declaredOfFound(declared, observed) };
  const key_id = line.kmsKey.arn ?? line.kmsKey.key_id;
  return { kind: 'import', request: { key_id, provider: line.provider, as } };
}

/** What a replica has from its primary key is not the line's. */
function replication({ input }: DeclaredLine, of: string): Decision {
  const own = Object.entries(input.body as object).filter(([name]) => !ofPrimary.has(name as ArgumentName));
  return { kind: 'replicate', of, input: { ...input, body: Object.fromEntries(own) } };
}

/** @throws ProblemError conflict */
function assertSameKey({ id, kmsKey, replicaOf }: DeclaredLine, row: KeyRow): void {
  if (replicaOf !== null && row.replica_of !== null && row.replica_of !== replicaOf) {
    throw conflict(`The line is of a replica of ${replicaOf}, and the key ${id} is one of another key.`, id);
  }
  if (kmsKey === null) return;
  const isSame = row.key_id === kmsKey.key_id && (kmsKey.arn === null || kmsKey.arn === row.arn);
  if (isSame) return;
  const own = row.arn === null ? 'has no KMS key here (yet)' : `is ${row.arn} here`;
  throw conflict(`The line names ${kmsKey.arn ?? kmsKey.key_id}, and the key ${id} ${own}.`, id);
}

/** What is declared of a KMS key, where that is what the key is. @throws ProblemError invalid-input */
function declaredOfFound(declared: DeclaredKey, observed: ObservedKey): DeclaredKey {
  const fixed = immutableArguments
    .filter((name) => isTold(name, observed) && valueIn(name, observed) !== declared[name])
    .map((name): Violation => {
      const found = `${observed.arn} has ${JSON.stringify(valueIn(name, observed))}`;
      return { pointer: `/${name}`, code: 'immutable', detail: `${found}, and KMS fixed that when it made the key.` };
    });
  const impossible = unattainable(declared, observed).map(({ field, detail }): Violation => {
    return { pointer: `/${field}`, code: 'incompatible', detail };
  });
  if (fixed.length + impossible.length > 0) throw invalidInput([...fixed, ...impossible]);
  return declared;
}

async function carryOut(
  services: Services,
  line: DeclaredLine,
  decision: Decision,
  command: Command,
): Promise<Settled> {
  if (decision.kind === 'fail') throw decision.error;
  if (decision.kind === 'import') {
    const imported = await importAs(services, decision.request, command);
    if (imported !== null) return { outcome: 'imported', ...imported };
  }
  if (decision.kind === 'replicate') {
    const replica = await replicateKey(services, decision.of, decision.input, command, line.id);
    return { outcome: 'created', ...replica };
  }
  const before = decision.kind === 'change' ? decision.row.generation : 0;
  const { isNew, ...accepted } = await putAs(services, line, command);
  const outcome = isNew ? 'created' : accepted.row.generation > before ? 'updated' : 'unchanged';
  return { outcome, ...accepted };
}

/** As a PUT, but that a line which names a KMS key makes none, and changes no other: the record may be another one by now. */
async function putAs(services: Services, line: DeclaredLine, command: Command) {
  const { id, input, kmsKey } = line;
  if (kmsKey === null) return putKey(services, id, input, command);
  const accepted = await declareWhole(services, id, input, command, (row) => assertSameKey(line, row));
  return { ...accepted, isNew: false };
}

/** null: somebody else has put a key on record under that id meanwhile. */
async function importAs(services: Services, request: ImportRequest, command: Command) {
  const rights = { ...command.rights, permission: 'keys:import' as const };
  try {
    return await importKey(services, request, { ...command, rights });
  } catch (error) {
    const isOfKey = error instanceof ProblemError && error.kind !== 'conflict';
    if (isOfKey || (await lookUpKey(services, request.as?.id ?? '')) === undefined) throw error;
    return null;
  }
}

function outcomeOf(decision: Decision): ApplyOutcome {
  if (decision.kind === 'create' || decision.kind === 'replicate') return 'created';
  if (decision.kind === 'import') return 'imported';
  return decision.kind === 'change' && !isSame(decision) ? 'updated' : 'unchanged';
}

function isSame({ row, declared }: Extract<Decision, { kind: 'change' }>): boolean {
  return isDeepStrictEqual(declared, declaredOf(row));
}

function planOf(
  services: Services,
  line: DeclaredLine,
  decision: Decision,
  { rights, takeAliases }: Command,
): Promise<Plan> | Plan {
  const { access } = rights;
  if (decision.kind === 'fail') throw decision.error;
  if (decision.kind === 'create' || decision.kind === 'replicate') {
    const as = { id: line.id, takeAliases: takeAliases === true, isReplica: decision.kind === 'replicate' };
    return planCreate(services, line.input, { access, permission: 'keys:create' }, as);
  }
  if (decision.kind === 'import') {
    return planImport(services, decision.request, { access, permission: 'keys:import' });
  }
  const { row, target, declared } = decision;
  // Nothing is asked of KMS for what nothing is done about.
  if (isSame(decision)) return { steps: [], changes: {}, replacement: [], refusals: [], drift: driftOf(row) };
  return planChange(services, row, target, { declared, immutable: [], rights, takeAliases });
}

/** Which key declares an alias: two of one KMS never do, and one that is taken from another key is declared by one of them. */
import { Prisma, type Transaction } from '../../database/client.ts';
import { addedNames, aliasChanges, type TakenAlias } from '../../domain/aliases.ts';
import { nextGeneration } from '../../domain/gap.ts';
import type { DesiredKey, ObservedKey } from '../../domain/types.ts';
import { placeOf } from '../access/keys.ts';
import type { Services } from '../context.ts';
import { conflict } from '../problems.ts';
import { type DeclaredKey, declaredOf } from '../rows/declared.ts';
import type { KeyRow } from '../rows/key-row.ts';
import { isSynced, stateWhileSyncing } from '../rows/predicates.ts';
import { findRowIn } from '../rows/read.ts';
import { holdWork, oneMoreAsked, statusMoves, writeRow } from '../rows/write.ts';
import { type Asker, recordRevision } from './revision-record.ts';
import { neighboursOf } from './same-kms.ts';

type Claim = {
  id: string;
  provider: string;
  before: Pick<DeclaredKey, 'aliases'> | null;
  after: Pick<DeclaredKey, 'aliases'>;
  /** What was found to be another key's, and may be taken. */
  taken: readonly TakenAlias[];
  /** Providers that lead to another KMS: what their keys declare is no claim here. */
  apart: readonly string[];
};

/** Who asks, and by which gap and time of the database. */
type Moment = Asker & { gap: number; now: number };

/**
 * Before names are declared of a key: those that are to be taken are declared of their key no more, in the same transaction.
 * @throws ProblemError conflict where another key declares one of them, and that was not known.
 */
export async function claimAliases(
  services: Services,
  transaction: Transaction,
  { id, provider, before, after, taken, apart }: Claim,
  by: Moment,
): Promise<void> {
  const added = addedNames(before?.aliases ?? null, after.aliases);
  const claims = await claimsOfOthers(transaction, { id, provider, apart }, added);
  const unknown = claims.find(
    ({ name, key_ref }) => !taken.some((one) => one.alias === name && one.id === key_ref && one.was_declared),
  );
  if (unknown !== undefined) throw conflict(`Another key has declared ${unknown.name} by now: ask again.`);
  const losers = Map.groupBy(claims, ({ key_ref }) => key_ref);
  if (losers.size === 0) return;
  // In one order, whoever takes from whom.
  for (const each of [...losers.keys(), id].sort()) await holdWork(transaction, { id: each });
  for (const [loser, lost] of losers) {
    const names = lost.map(({ name }) => name);
    await declareWithout(services, transaction, { loser, names }, by);
  }
}

/** A key, and the providers that lead to another KMS than its own. */
type Claimant = Pick<KeyRow, 'id' | 'provider'> & { apart: readonly string[] };

/**
 * The names among these that other keys of the same KMS declare. Until the transaction ends, nobody else in the Region declares any of
 * them. Asked before any row is taken: who waits for a name has none.
 */
async function claimsOfOthers(
  transaction: Pick<Transaction, '$queryRaw' | '$executeRaw'>,
  key: Claimant,
  names: readonly string[],
): Promise<AliasClaim[]> {
  if (names.length === 0) return [];
  const inOrder = [...names].sort();
  await transaction.$executeRaw`
    SELECT pg_advisory_xact_lock(hashtextextended((SELECT region FROM providers WHERE providers.name = ${key.provider}) || ' ' || wanted.name, 0))
    FROM unnest(${inOrder}::text[]) AS wanted (name)`;
  return findClaims(transaction, key, inOrder);
}

export type AliasClaim = { name: string; key_ref: string; provider: string };

/** The same as it is now: others may declare them meanwhile. */
export function findClaims(
  transaction: Pick<Transaction, '$queryRaw'>,
  { id, provider, apart }: Claimant,
  names: readonly string[],
): Promise<AliasClaim[]> {
  return transaction.$queryRaw<AliasClaim[]>`
    SELECT claim.name, claim.key_ref, claim.provider FROM declared_aliases claim
    JOIN providers other ON other.name = claim.provider JOIN providers own ON own.name = ${provider}
    WHERE claim.name = ANY(${[...names]}::text[]) AND claim.key_ref <> ${id}::uuid
      AND other.region = own.region AND other.name <> ALL(${[...apart]}::text[])`;
}

/** What is declared, without the names that other keys declare by now. */
export async function withoutTaken(
  transaction: Transaction,
  key: Claimant,
  declared: DeclaredKey,
): Promise<DeclaredKey> {
  if (declared.aliases === null) return declared;
  const claims = await claimsOfOthers(transaction, key, declared.aliases);
  return { ...declared, aliases: declared.aliases.filter((alias) => !claims.some(({ name }) => name === alias)) };
}

type Loss = { loser: string; names: readonly string[] };

/** What KMS was made to hold of the loser stays held: the name goes from it in KMS with the sync of who takes it. */
async function declareWithout(services: Services, transaction: Transaction, { loser, names }: Loss, by: Moment) {
  const row = await findRowIn(transaction, loser);
  const before = row === null ? null : declaredOf(row);
  const aliases = before?.aliases?.filter((name) => !names.includes(name));
  if (row === null || before === null || aliases === undefined || aliases.length === before.aliases?.length) return;
  if (!by.rights.access.may('keys:update', placeOf(row))) throw conflict('The key that has the alias is not yours.');
  const generation = await declareOthers(services, transaction, row, { aliases, isHeld: isSynced(row) }, by);
  const declared = { ...before, aliases };
  const revision = { keyId: loser, generation, origin: 'alias_taken' as const, declared, before };
  await recordRevision(transaction, revision, { ...by, commandId: undefined });
  if (!isSynced(row)) return;
  const where = { key_ref_generation: { key_ref: loser, generation } };
  await transaction.revision.update({ where, data: { outcome: 'held', settled_at: new Date() } });
}

type Names = { aliases: string[]; isHeld: boolean };

async function declareOthers(
  services: Services,
  transaction: Transaction,
  row: KeyRow,
  { aliases, isHeld }: Names,
  { gap, now }: Pick<Moment, 'gap' | 'now'>,
): Promise<number> {
  const generation = nextGeneration(row.generation, gap);
  const open = { state: stateWhileSyncing(row, row), error: Prisma.DbNull, attempts: 0 };
  const changed = await writeRow(
    transaction,
    { id: row.id },
    {
      aliases,
      generation,
      ...(isHeld ? { synced_generation: generation } : open),
      due_at: new Date(now),
      ...statusMoves,
      ...oneMoreAsked,
      updated_at: new Date(),
    },
  );
  if (changed !== null) await services.notifications.wake(transaction, changed);
  return generation;
}

/**
 * What a change took that KMS then refused, or that is dropped with its key, is declared again of those that had it, where they are
 * managed and nobody else declares it by now. Their syncs move it back, where it was moved.
 */
export async function giveAliasesBack(
  services: Services,
  transaction: Transaction,
  row: Pick<KeyRow, 'id' | 'provider' | 'arn' | 'generation' | 'synced_generation'>,
  by: Pick<Moment, 'gap' | 'now'> & Omit<Asker, 'rights'>,
): Promise<void> {
  for (const [loser, lost] of Map.groupBy(await declaredElsewhere(transaction, row), ({ id }) => id)) {
    const names = lost.map(({ alias }) => alias);
    if (loser === null || !(await holdWork(transaction, { id: loser }))) continue;
    const current = await findRowIn(transaction, loser);
    const before = current === null ? null : declaredOf(current);
    if (current === null || before === null || before.aliases === null || before.lifecycle !== 'managed') continue;
    // No key of the KMS can have declared them anew since they were taken: what keys of another provider declare is of another KMS.
    const claims = await claimsOfOthers(transaction, { ...current, apart: [] }, names);
    const back = addedNames(before.aliases, names).filter(
      (alias) => !claims.some(({ name, provider }) => name === alias && provider === current.provider),
    );
    if (back.length === 0) continue;
    const declared = { ...before, aliases: [...before.aliases, ...back] };
    const generation = await declareOthers(
      services,
      transaction,
      current,
      { aliases: declared.aliases, isHeld: false },
      by,
    );
    const taken = back.map((alias) => ({ alias, id: row.id, arn: row.arn, was_declared: false }));
    const revision = { keyId: loser, generation, origin: 'revert' as const, declared, before, taken };
    await recordRevision(transaction, revision, by);
  }
}

/**
 * What is declared of a key that is to be deleted: what it took, and KMS was not made to move, does not go with it. It is given back
 * where the deletion is recorded.
 */
export async function withoutUnmoved({ database }: Services, row: KeyRow): Promise<DeclaredKey> {
  const declared = declaredOf(row);
  if (declared.aliases === null || isSynced(row)) return declared;
  const unmoved = await declaredElsewhere(database.prisma, row);
  return { ...declared, aliases: declared.aliases.filter((name) => !unmoved.some(({ alias }) => alias === name)) };
}

/** What the generations that KMS does not hold took from keys that declared it. */
async function declaredElsewhere(
  transaction: Pick<Transaction, '$queryRaw'>,
  row: Pick<KeyRow, 'id' | 'generation' | 'synced_generation'>,
): Promise<TakenAlias[]> {
  const { id, generation, synced_generation: held } = row;
  const revisions = await transaction.$queryRaw<{ aliases_taken: TakenAlias[] }[]>`
    SELECT aliases_taken FROM revisions
    WHERE key_ref = ${id}::uuid AND generation > ${held} AND generation <= ${generation} AND aliases_taken IS NOT NULL`;
  return revisions.flatMap(({ aliases_taken: taken }) => taken).filter(({ was_declared }) => was_declared);
}

/**
 * A key as it is seen, without the names that another key declares and this one does not: they are on their way there, and are neither
 * drift of this one nor its own to delete.
 */
export async function withoutLeaving(
  services: Services,
  { id, provider }: KeyRow,
  desired: DesiredKey,
  key: ObservedKey,
): Promise<ObservedKey> {
  const extra = desired.aliases === null ? [] : aliasChanges(desired.aliases, key).extra;
  if (extra.length === 0) return key;
  const { apart } = await neighboursOf(services, provider, extra);
  const leaving = await findClaims(services.database.prisma, { id, provider, apart }, extra);
  const aliases = Object.entries(key.aliases ?? {}).filter(([alias]) => !leaving.some(({ name }) => name === alias));
  return leaving.length === 0 ? key : { ...key, aliases: Object.fromEntries(aliases) };
}

/** What can be asked of a key. Each records an intent and waits for its sync; none writes to KMS by itself. */
import { isDeepStrictEqual } from 'node:util';
import type { TakenAlias } from '../../domain/aliases.ts';
import type { RevisionOrigin } from '../../domain/events.ts';
import type { Permission } from '../../domain/permissions.ts';
import type { Actor, Services } from '../context.ts';
import { recordEvent } from '../history/log.ts';
import { giveAliasesBack, withoutUnmoved } from '../keys/aliases.ts';
import { findKey, lookUpKey } from '../keys/find.ts';
import { recordChange } from '../keys/intents.ts';
import { assertManaged, assertMatches, assertNotReplacing } from '../keys/preconditions.ts';
import { findEarlierRun, lastEndOf, takenBy } from '../keys/revisions.ts';
import { conflict, type Input, keyNotFound } from '../problems.ts';
import { gapAndTimeIn } from '../recovery/hold.ts';
import { ask } from '../rows/ask.ts';
import { type DeclaredKey, declaredOf, errorOf } from '../rows/declared.ts';
import type { KeyRow } from '../rows/key-row.ts';
import { isHeldBack } from '../rows/predicates.ts';
import { findRowIn } from '../rows/read.ts';
import { removeRow } from '../rows/write.ts';
import { keyNotProven } from '../sync/first-creation.ts';
import { headStartOfChange } from '../sync/head-start.ts';
import { aliasesToTake } from './alias-holders.ts';
import { declaredByPatch, patchTarget } from './input.ts';
import {
  assertPutRight,
  keptRow,
  refusal,
  type Settlement,
  waitForGeneration,
  waitForObservation,
} from './settlement.ts';

/** What comes with every command. */
export type Command = Actor & {
  /** Milliseconds to wait for the sync. */
  wait: number;
  ifMatch?: string | undefined;
  /** The same for every run of the command, and the id of what it makes: an earlier run may have recorded it. */
  commandId?: string | undefined;
  /** Whether aliases that other keys have are to be taken from them. */
  takeAliases?: boolean | undefined;
  /** Whether an earlier run of the command was cut off: it may have made what has that id, and the record of it be lost. */
  isRerun?: boolean | undefined;
};

/** A key and whether its sync is still to come. `taken`: aliases of other keys, where it was asked to take them. */
export type Accepted = { row: KeyRow; pending: boolean; taken?: TakenAlias[] };

/** Another run of the same command may have been faster. @throws the error when none was. */
export async function generationOfOtherRun(services: Services, command: Command, error: unknown): Promise<number> {
  const other = await findEarlierRun(services, command);
  if (other === null) throw error;
  return other.generation;
}

/** The command with the permission that what it does asks for. */
export function asking(command: Command, permission: Permission): Command {
  return { ...command, rights: { ...command.rights, permission } };
}

/** `keyId` of a key that somebody made outside; null: a refused key must not exist in KMS, or its record stays. */
type NewRecord = { id: string; generation: number; keyId: string | null };

/**
 * Waits for a first generation, and removes the record of one that KMS refused.
 */
export async function settleNewKey(services: Services, created: NewRecord, command: Command): Promise<Accepted> {
  const { id, generation } = created;
  const settlement = await waitForGeneration(services, id, generation, command.wait);
  if (settlement.kind === 'refused' && (await removeRefused(services, created, command))) {
    throw refusal(settlement, 'Nothing was made, and no record is left.');
  }
  return tellingTaken(services, keptRow(settlement, id), command);
}

/** The record goes, its events stay. A key that has been changed since stays too. @returns whether it went. */
async function removeRefused(
  services: Services,
  { id, generation, keyId }: NewRecord,
  command: Command,
): Promise<boolean> {
  const isRemoved = await services.database.prisma.$transaction(async (transaction) => {
    const refused = { id, key_id: keyId, generation, synced_generation: 0, state: 'failed' };
    const before = await findRowIn(transaction, id);
    const isGone = await removeRow(transaction, { ...refused, lease_token: null, writes_open: false });
    if (!isGone || before === null) return isGone;
    // Nobody can have made a replica of a key that there never was, whoever is at it.
    const replicas = { where: { replica_of: id, key_id: null }, select: { id: true }, orderBy: { id: 'asc' as const } };
    const gone = [before];
    for (const replica of await transaction.key.findMany(replicas)) {
      const row = await findRowIn(transaction, replica.id);
      if (row !== null && (await removeRow(transaction, { id: row.id, key_id: null }))) gone.push(row);
    }
    const by = { ...command, ...(await gapAndTimeIn(transaction)) };
    for (const row of gone) {
      await giveAliasesBack(services, transaction, row, by);
      await transaction.revision.deleteMany({ where: { key_ref: row.id, generation: row.generation } });
    }
    return isGone;
  });
  await services.failurePoints.pass('refused-record-removed');
  return isRemoved;
}

/** Changes a key. @throws ProblemError not-found, stale-generation, conflict, invalid-input, refused-by-kms. */
export function updateKey(services: Services, id: string, input: Input, command: Command): Promise<Accepted> {
  return change(services, id, command, 'update', async (row) => {
    assertManaged(row);
    return declaredByPatch(services, await patchTarget(services, row), input);
  });
}

/**
 * Schedules a key's deletion. Asking again changes nothing.
 * @param windowInDays 7 to 30; undefined: the key's own.
 * @returns null when the record is gone, because KMS never had the key.
 * @throws ProblemError not-found, stale-generation, refused-by-kms; conflict with deletion_protection, and where a key carries the
 * record's ownership tag that may be somebody else's.
 */
export async function deleteKey(
  services: Services,
  id: string,
  windowInDays: number | undefined,
  command: Command,
): Promise<Accepted | null> {
  const decide = async (row: KeyRow): Promise<DeclaredKey> => {
    if (row.lifecycle === 'pending_deletion') return declaredOf(row);
    assertManaged(row);
    assertNotReplacing(row);
    if (row.deletion_protection) {
      throw conflict('The key has deletion_protection; set it to false before deleting the key.', id);
    }
    const declared = await withoutUnmoved(services, row);
    return { ...declared, lifecycle: 'pending_deletion', pending_window_in_days: windowInDays ?? null };
  };
  const settlement = await declareChange(services, id, command, 'delete', decide, isNotProven);
  if (settlement.kind === 'removed') {
    await assertNotReleased(services, id);
    return null;
  }
  const { row, pending } = keptRow(settlement, id);
  if (pending && isNotProven(row)) throw conflict(`${errorOf(row)?.message}. The deletion goes on with that.`, id);
  return { row, pending };
}

/** A record may be gone since somebody let go of its key, while it was to be deleted. */
async function assertNotReleased(services: Services, id: string): Promise<void> {
  if ((await lastEndOf(services, id)) !== 'key.released') return;
  throw conflict('The key was released meanwhile: KMS has it, and its deletion is not scheduled.', id);
}

/** Whether a key that is to be deleted may be somebody else's. */
function isNotProven(row: KeyRow): boolean {
  return row.lifecycle === 'pending_deletion' && errorOf(row)?.code === keyNotProven;
}

/** Takes a deletion back. @throws ProblemError not-found, stale-generation, conflict, refused-by-kms. */
export function restoreKey(services: Services, id: string, command: Command): Promise<Accepted> {
  return change(services, id, command, 'restore', (row) => {
    if (row.state === 'deleted') throw conflict('KMS has deleted the key: nothing can bring it back.', id);
    if (row.lifecycle !== 'pending_deletion') throw conflict('The key is not pending deletion.', id);
    return { ...declaredOf(row), lifecycle: 'managed', pending_window_in_days: null };
  });
}

/**
 * Lets go of a key and leaves it in KMS.
 * @returns null when done: Keyward has no record of the key any more.
 */
export async function releaseKey(services: Services, id: string, command: Command): Promise<Accepted | null> {
  const settlement = await declareChange(services, id, command, 'release', (row) => {
    if (row.state === 'deleted') throw conflict('KMS has deleted the key: there is nothing to release.', id);
    assertNotReplacing(row);
    return { ...declaredOf(row), lifecycle: 'released', pending_window_in_days: null };
  });
  return settlement.kind === 'removed' ? null : keptRow(settlement, id);
}

/**
 * Observes a key; with `enforce`, also puts KMS in its desired state, whatever the drift policy.
 * @throws ProblemError not-found, conflict, refused-by-kms.
 */
export async function observeKey(
  services: Services,
  id: string,
  { enforce }: { enforce: boolean },
  command: Command,
): Promise<Accepted> {
  const row = await findKey(services, id);
  assertMatches(row, command.ifMatch);
  if (enforce) assertManaged(row);
  if (row.state === 'deleted') throw conflict('KMS has deleted the key: there is nothing to observe.', id);
  if (row.state === 'failed' && row.key_id === null && !enforce) {
    throw conflict('KMS never had this key: there is nothing to observe. Change it, or delete it.', id);
  }
  const observation = await requestObservation(services, row, enforce, command);
  const settlement = await waitForObservation(services, id, observation, command.wait);
  if (enforce) await assertPutRight(services, row, settlement);
  return keptRow(settlement, id);
}

/** To enforce is on record: KMS is written to for it. To look changes nothing. */
async function requestObservation(services: Services, row: KeyRow, enforce: boolean, by: Command): Promise<number> {
  const observation = await services.database.prisma.$transaction(async (transaction) => {
    const requested = await ask(transaction, row.id, enforce ? 'enforce' : 'look');
    if (requested === null) throw keyNotFound(row.id);
    const event = { type: 'sync.requested' as const, key: row, data: { origin: 'sync' as const } };
    if (enforce) await recordEvent(transaction, event, by);
    await services.notifications.wake(transaction, row);
    return requested;
  });
  await services.failurePoints.pass('intent-recorded');
  return observation;
}

type Decision = (row: KeyRow) => DeclaredKey | Promise<DeclaredKey>;

/** Records what is decided on the key, and waits for its sync. @throws ProblemError and what the decision throws. */
export async function change(
  services: Services,
  id: string,
  command: Command,
  origin: RevisionOrigin,
  decide: Decision,
): Promise<Accepted> {
  return tellingTaken(services, keptRow(await declareChange(services, id, command, origin, decide), id), command);
}

/** With the aliases that the command took from other keys. */
export async function tellingTaken(services: Services, accepted: Accepted, command: Command): Promise<Accepted> {
  if (command.takeAliases !== true) return accepted;
  return { ...accepted, taken: await takenBy(services, accepted.row.id, command) };
}

/**
 * Decides on the key as it is, records the decision, and waits for its sync; decides again if the key changed. What an
 * earlier run of the command has recorded is waited for as it is.
 */
async function declareChange(
  services: Services,
  id: string,
  command: Command,
  origin: RevisionOrigin,
  decide: Decision,
  isStuck?: (row: KeyRow) => boolean,
): Promise<Settlement> {
  for (;;) {
    const row = await lookUpKey(services, id);
    // Asked after the row was read: what another run records from here on, recordChange takes note of.
    const earlier = await findEarlierRun(services, command);
    if (earlier !== null) return waitForGeneration(services, id, earlier.generation, command.wait, isStuck);
    if (row === undefined) throw keyNotFound(id);
    assertMatches(row, command.ifMatch);
    const declared = await decide(row);
    // Of a held key nobody knows whether KMS has it so: what is asked for is recorded as asked for now, and carried out.
    const isSame = isDeepStrictEqual(declared, declaredOf(row)) && !isHeldBack(row, services.watch.gap);
    if (isSame) return settled(services, row, command, isStuck);
    const taken = await aliasesToTake(services, row, { before: declaredOf(row), after: declared }, command);
    const headStart = headStartOfChange(services, row);
    const generation = await recordChange(services, row, { declared, origin, headStart, taken }, command);
    if (generation !== null) return waitForGeneration(services, id, generation, command.wait, isStuck);
  }
}

/** Nothing was to be changed: what was asked before may still be on its way. */
function settled(
  services: Services,
  row: KeyRow,
  { wait }: Command,
  isStuck?: (row: KeyRow) => boolean,
): Promise<Settlement> {
  if (row.synced_generation >= row.generation) return Promise.resolve({ kind: 'held', row });
  return waitForGeneration(services, row.id, row.generation, wait, isStuck);
}

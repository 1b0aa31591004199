/** The journal of KMS writes (I1): each is on record before it is sent, and its outcome afterwards. */
import { v7 as uuidv7 } from 'uuid';
import type { Prisma, Transaction } from '../../database/client.ts';
import { makingOperations } from '../../domain/operations.ts';
import { fieldsBefore } from '../../domain/recent-writes.ts';
import type { ObservedKey, Step } from '../../domain/types.ts';
import type { KmsFailure } from '../../kms/errors.ts';
import { NotSent, type Permit } from '../../kms/permit.ts';
import type { Services } from '../context.ts';
import { recordEvent } from '../history/log.ts';
import { askForFormerKeys } from '../rows/ask.ts';
import type { KeyRow } from '../rows/key-row.ts';
import { mayWrite, openWrites } from '../rows/lease.ts';
import type { JournalEntry } from './journal-entry.ts';
import { type Lease, LeaseLost } from './lease.ts';
import { startStopwatch } from './stopwatch.ts';

/**
 * - done: KMS carried it out.
 * - refused: KMS answered that it will not.
 * - not_done: it surely had no effect.
 * - unknown: nobody can tell. After a CreateKey, the ownership tag will tell.
 * - skipped: it was never sent.
 */
export type Outcome = 'done' | 'refused' | 'not_done' | 'unknown' | 'skipped';

/** What the journal needs to know of an entry to close it. */
export type RecordedWrite = {
  id: string;
  step: { operation: string; parameters: unknown };
  origin?: 'drift';
  /** The key that KMS answered CreateKey with. */
  madeKeyId?: string;
};

/** Whom writes are sent to. `account` null: nobody can tell. */
type Addressee = { account: string | null; endpoint: string };

/** Who asked for the generation that a write serves. */
type Write = { row: KeyRow; lease: Lease };

/**
 * Puts the steps on record before the first of them is sent, with the time from which they can no longer land. That is
 * PostgreSQL's time, since another worker may have to judge it.
 * @param observed the key before the first step; null: there is none.
 * @param to where the steps are sent.
 * @throws LeaseLost, also when the key is held: a worker that has not noticed a gap writes nothing either.
 */
export async function openJournal(
  services: Services,
  { row, lease }: Write,
  observed: ObservedKey | null,
  steps: Step[],
  to: Addressee,
): Promise<JournalEntry[]> {
  await recordRest(services, lease);
  const { id, generation } = row;
  const entries = await services.database.prisma.$transaction(async (transaction) => {
    await assertMayWrite(transaction, lease);
    return insertEntries(services, transaction, { id, generation, token: lease.token }, { observed, steps, to });
  });
  await services.failurePoints.pass('writes-recorded');
  return entries;
}

/**
 * Puts on record what the transaction that ends the sync would else: something else is to be done first, or it has no such end.
 * @throws LeaseLost when the row is not as this work left it: it is on record all the same.
 */
export async function recordRest({ database, failurePoints }: Services, { unrecorded, keyId }: Lease): Promise<void> {
  if (unrecorded.length === 0) return;
  const areOurs = await database.prisma.$transaction(async (transaction) => {
    const told: boolean[] = [];
    for (const record of unrecorded) told.push(await record(transaction));
    return told.every(Boolean);
  });
  unrecorded.length = 0;
  await failurePoints.pass('write-closed');
  if (!areOurs) throw new LeaseLost(keyId);
}

type Planned = { observed: ObservedKey | null; steps: Step[]; to: Addressee };

/**
 * The rows of steps that are about to be sent.
 * @param write the key, the generation that is served, and the lease under which that is done.
 */
export async function insertEntries(
  services: Services,
  transaction: Transaction,
  write: { id: string; generation: number; token: string },
  { observed, steps, to }: Planned,
): Promise<JournalEntry[]> {
  const age = startStopwatch();
  const befores = fieldsBefore(observed, steps);
  const { gap } = services.watch;
  const entries = steps.map((step, index) => ({ id: uuidv7(), step, age, gap, before: befores[index] ?? null }));
  const rows = entries.map(({ id, step: { operation, parameters }, before }) => ({
    id,
    operation,
    parameters,
    before,
  }));
  await transaction.$executeRaw`
    INSERT INTO kms_writes (id, key_ref, generation, operation, parameters, before, lease_token, account, endpoint, planned_at, lands_until)
    SELECT entry.id, ${write.id}::uuid, ${write.generation}, entry.operation, entry.parameters, entry.before, ${write.token}::uuid,
      ${to.account}, ${to.endpoint},
      clock_timestamp(), clock_timestamp() + ${services.times.write.landsWithin} * interval '1 millisecond'
    FROM json_to_recordset(${JSON.stringify(rows)}::json) AS entry (id uuid, operation text, parameters json, before json)`;
  return entries;
}

/**
 * Gives an entry that waited long for its turn a new deadline.
 * @throws LeaseLost
 */
export async function refreshEntry<Planned extends Step>(
  services: Services,
  lease: Lease,
  entry: JournalEntry<Planned>,
): Promise<JournalEntry<Planned>> {
  const { sendWithin, landsWithin } = services.times.write;
  if (entry.age() < sendWithin / 2) return entry;
  const age = startStopwatch();
  const { prisma } = services.database;
  const count = await prisma.$executeRaw`
    UPDATE kms_writes SET lands_until = clock_timestamp() + ${landsWithin} * interval '1 millisecond'
    WHERE id = ${entry.id}::uuid AND outcome IS NULL AND ${mayWrite(lease)}`;
  if (count === 0) throw new LeaseLost(lease.keyId);
  await services.failurePoints.pass('writes-recorded');
  return { ...entry, age };
}

/** Leave to send a write, as long as its time is not up and no other worker can have the key. */
export function permitFor(services: Services, lease: Lease, entry: JournalEntry): Permit {
  return {
    beforeSend: async () => {
      await services.failurePoints.pass('before-send');
      if (services.failurePoints.isOff('no-fencing')) return;
      if (entry.gap !== services.watch.gap)
        throw new NotSent('It was not sent: a gap in the database was noticed before.');
      if (!lease.isHeld) throw new NotSent('It was not sent: the lease on the key ran out before.');
      if (entry.age() >= services.times.write.sendWithin) {
        throw new NotSent('It was not sent: the time in which it may be sent was over.');
      }
    },
  };
}

/** What is on record of a write's outcome; null: nothing yet. Holds the entry until the transaction ends. */
export async function outcomeOnRecord(transaction: Transaction, id: string): Promise<Outcome | null> {
  const [entry] = await transaction.$queryRaw<{ outcome: Outcome | null }[]>`
    SELECT outcome FROM kms_writes WHERE id = ${id}::uuid FOR UPDATE`;
  return entry?.outcome ?? null;
}

/**
 * Puts the outcome of one write on record, with its event. A write that another worker has closed meanwhile is left as it
 * is, unless the outcome was unknown there and is known here to be none, or to be a new key. That another write was carried
 * out is no news by then: whether it was before or after those of the other worker, only a look at the key can tell.
 * @returns what was on record before; null: it was left as it is.
 */
export async function closeEntry(
  transaction: Transaction,
  row: KeyRow,
  entry: RecordedWrite,
  outcome: Outcome,
  failure?: KmsFailure,
): Promise<{ outcomeBefore: Outcome | null } | null> {
  const error = failure === undefined ? null : { code: failure.code, message: failure.message };
  const [closed] = await transaction.$queryRaw<
    { before: Prisma.InputJsonObject | null; outcome_before: Outcome | null }[]
  >`
    UPDATE kms_writes
    SET outcome = ${outcome}, error = ${error === null ? null : JSON.stringify(error)}::json, finished_at = clock_timestamp(),
      made_key_id = coalesce(${entry.madeKeyId ?? null}, made_key_id)
    FROM (SELECT id, outcome FROM kms_writes WHERE id = ${entry.id}::uuid FOR UPDATE) AS found
    WHERE kms_writes.id = found.id AND (
      found.outcome IS NULL
      OR (found.outcome = 'unknown' AND ${outcome} <> 'unknown' AND (${outcome} <> 'done' OR operation IN ('CreateKey', 'ReplicateKey'))))
    RETURNING before, found.outcome AS outcome_before`;
  if (closed === undefined) return null;
  const told = { outcomeBefore: closed.outcome_before };
  if (outcome === 'skipped') return told;
  const { operation, parameters } = entry.step;
  const before = closed.before === null ? {} : { before: closed.before };
  const data = { operation, parameters: parameters as object, outcome, ...causeOf(row, entry), ...before };
  await recordEvent(transaction, { type: 'kms.write', key: row, data: error === null ? data : { ...data, error } });
  return told;
}

/**
 * Puts on record which key KMS answered a CreateKey with, whatever else is known of it by now. One that was left after a
 * refusal, because nothing proved that it is ours, is not left any more.
 */
export async function recordMade(transaction: Transaction, id: string, keyId: string): Promise<void> {
  await transaction.kmsWrite.updateMany({ where: { id }, data: { made_key_id: keyId } });
  const left = await transaction.$queryRaw<{ key_ref: string }[]>`
    WITH left_behind AS (
      UPDATE former_keys SET deletion = 'waiting'
      FROM kms_writes w WHERE w.id = ${id}::uuid AND former_keys.id = w.key_ref
        AND former_keys.key_id = ${keyId} AND former_keys.deletion = 'left'
      RETURNING former_keys.key_ref)
    SELECT key_ref FROM left_behind`;
  for (const { key_ref } of left) await askForFormerKeys(transaction, key_ref);
}

/**
 * Whether the journal proves that a record's CreateKey made a key (I11): KMS answered with it. That a key carries the record's
 * ownership tag proves nothing: whoever may tag keys can give it one.
 * @param ref the id under which the key's writes are in the journal: the record's, or its former key's.
 */
export async function isMadeByUs(services: Services, ref: string, keyId: string): Promise<boolean> {
  if (services.failurePoints.isOff('refusal-deletes-unproven')) return true;
  const made = { key_ref: ref, operation: { in: [...makingOperations] }, made_key_id: keyId };
  return (await services.database.prisma.kmsWrite.findFirst({ where: made, select: { id: true } })) !== null;
}

/** A write that carries out a change of the provider's, or puts drift right, goes back to none of the key's generations. */
function causeOf(
  row: KeyRow,
  { step: { operation }, origin }: RecordedWrite,
): { cause?: 'provider'; origin?: 'drift' } {
  const isOfTags = operation === 'TagResource' || operation === 'UntagResource';
  const isDue = row.default_tags_due !== null && row.generation === row.synced_generation;
  if (isOfTags && isDue) return { cause: 'provider' };
  return origin === undefined ? {} : { origin };
}

/** What a failure tells of the write's outcome. */
export function outcomeOf({ certainlyNotDone, kind }: KmsFailure): Outcome {
  if (!certainlyNotDone) return 'unknown';
  return kind === 'refused' || kind === 'denied' || kind === 'unsupported' ? 'refused' : 'not_done';
}

/** The same for a write to KMS: not for a key that is held. */
async function assertMayWrite(transaction: Transaction, lease: Lease): Promise<void> {
  if (!(await openWrites(transaction, lease, { unlessHeld: true }))) throw new LeaseLost(lease.keyId);
}

/** @throws LeaseLost when the row's lease is another's. Holds the row until the transaction ends. */
export async function assertFenced(transaction: Transaction, lease: Lease): Promise<void> {
  if (!(await openWrites(transaction, lease, { unlessHeld: false }))) throw new LeaseLost(lease.keyId);
}

/** Schedules the deletion of keys that others took the place of. */
import type { FormerKey } from '../../database/client.ts';
import { isPendingDeletion } from '../../domain/key-state.ts';
import { makesKey } from '../../domain/operations.ts';
import type { Step } from '../../domain/types.ts';
import { applyStep } from '../../kms/apply.ts';
import type { Kms } from '../../kms/client.ts';
import { KmsFailure } from '../../kms/errors.ts';
import { type DescribedKey, describeKey } from '../../kms/observe.ts';
import type { Services } from '../context.ts';
import { recordEvent } from '../history/log.ts';
import { findHolder } from '../keys/find.ts';
import { holdWork, writeWork } from '../rows/write.ts';
import { assertFenced, closeEntry, isMadeByUs, openJournal } from './journal.ts';
import { LeaseLost, type Work } from './lease.ts';
import { timeToLose } from './lost.ts';
import { findRecentWrites } from './open-writes.ts';
import { type Hindrance, pauseBefore, retryDelay } from './retry.ts';
import { recordDone, sendWrite } from './send.ts';

/**
 * Schedules the deletion of the record's former keys. KMS is asked for each key's state first, so that one whose deletion is
 * scheduled already, also by a worker that was cut off, is left alone.
 * @returns null when nothing is left to do.
 * @throws LeaseLost
 */
export async function deleteFormerKeys(services: Services, kms: Kms, work: Work): Promise<Hindrance | null> {
  const { row, lease } = work;
  // Until the new key is there as declared, the old one may have to come back.
  if (!row.former_keys_open || row.replacement !== null) return null;
  const waiting = await services.database.prisma.formerKey.findMany({
    where: { key_ref: row.id, deletion: 'waiting' },
    orderBy: { id: 'asc' },
  });
  const hindrances: Hindrance[] = [];
  for (const former of waiting) {
    try {
      await deleteFormerKey(services, kms, work, former);
    } catch (error) {
      if (!(error instanceof KmsFailure)) throw error;
      hindrances.push(await hindrance(services, former, error));
    }
  }
  // What hinders one key's deletion does not keep the others waiting.
  const [next] = hindrances.sort((a, b) => a.dueAt.getTime() - b.dueAt.getTime());
  if (next !== undefined) return next;
  await services.database.prisma.$transaction(async (transaction) => {
    // Locked before they are counted: one that a late answer shows to be ours is either seen, or sets the mark after this.
    if (!(await holdWork(transaction, lease.fence))) throw new LeaseLost(row.id);
    const open = await transaction.formerKey.count({ where: { key_ref: row.id, deletion: 'waiting' } });
    await writeWork(transaction, lease.fence, { former_keys_open: open > 0 });
  });
  await services.failurePoints.pass('former-key-recorded');
  return null;
}

async function deleteFormerKey(services: Services, kms: Kms, work: Work, former: FormerKey): Promise<void> {
  await closeCutOff(services, work, former);
  // One that was left may have been imported before an answer came by which it is to be deleted: it is that record's now.
  if (await isManaged(services, former.arn)) return settle(services, former, 'left', null);
  if (former.reason === 'refused' && !(await isMadeByUs(services, former.id, former.key_id))) {
    return leave(services, work, former);
  }
  // A read may be stale: a key that was just made is not gone, and one whose deletion was just taken back not pending it.
  const recent = (await findRecentWrites(services, former.id)).map(({ operation }) => operation);
  const isNew = recent.some(makesKey);
  const isRestored = recent.lastIndexOf('CancelKeyDeletion') > recent.lastIndexOf('ScheduleKeyDeletion');
  const mayBeStale = isNew || former.attempts < answersOfAbsence(services.times);
  const before = await describe(kms, former.key_id, mayBeStale);
  if (before === null) return settle(services, former, 'gone', null);
  if (isPendingDeletion(before) && !isRestored) return settle(services, former, 'scheduled', before.deletion_date);
  const parameters = { PendingWindowInDays: former.window_in_days };
  const deletionDate = await schedule(services, kms, work, former, {
    operation: 'ScheduleKeyDeletion',
    field: 'lifecycle',
    parameters,
  });
  return settle(services, former, 'scheduled', deletionDate);
}

async function isManaged({ database }: Services, arn: string): Promise<boolean> {
  return (await findHolder(database.prisma, arn)) !== null;
}

/** The write is in the journal under the former key's own id: it says nothing of the key that the record has now. */
async function schedule(
  services: Services,
  kms: Kms,
  work: Work,
  former: FormerKey,
  step: Extract<Step, { operation: 'ScheduleKeyDeletion' }>,
): Promise<string | null> {
  const { row, lease } = work;
  const to = { account: former.arn.split(':')[4] ?? null, endpoint: kms.endpointName };
  const [entry] = await openJournal(services, { row: { ...row, id: former.id }, lease }, null, [step], to);
  if (entry === undefined) throw new Error('The journal took no entry');
  const told = { ...entry, step: withKeyId(former, step) };
  const { deletion_date } = await sendWrite(services, kms, work, told, (permit) =>
    applyStep(kms, former.key_id, step, permit),
  );
  await recordDone(services, work, told);
  return deletion_date;
}

/** The event of a write is the record's, and tells which key the write was for. */
function withKeyId<Planned extends { parameters: unknown }>({ key_id }: FormerKey, step: Planned): Planned {
  return { ...step, parameters: { KeyId: key_id, ...(step.parameters as object) } };
}

/** What a worker that was cut off left open may have been carried out or not: KMS is asked next. */
async function closeCutOff(services: Services, { row, lease }: Work, former: FormerKey): Promise<void> {
  const { prisma } = services.database;
  const open = await prisma.kmsWrite.findMany({ where: { key_ref: former.id, outcome: null } });
  if (open.length === 0) return;
  await prisma.$transaction(async (transaction) => {
    await assertFenced(transaction, lease);
    for (const write of open) {
      await closeEntry(transaction, row, { id: write.id, step: withKeyId(former, write) }, 'unknown');
    }
  });
  await services.failurePoints.pass('open-write-settled');
}

/** How often a key is not found, with the pauses between attempts, until it is surely gone. */
function answersOfAbsence(times: Services['times']): number {
  let attempts = 0;
  for (let spread = 0; spread < timeToLose(times); attempts += 1) spread += retryDelay(attempts + 1, 0);
  return attempts;
}

/** @returns null: it is gone. @throws KmsFailure */
async function describe(kms: Kms, keyId: string, mayBeStale: boolean): Promise<DescribedKey | null> {
  try {
    return await describeKey(kms, keyId);
  } catch (error) {
    if (error instanceof KmsFailure && error.kind === 'not_found' && !mayBeStale) return null;
    throw error;
  }
}

async function settle(services: Services, { id }: FormerKey, deletion: string, date: string | null): Promise<void> {
  const deletionDate = date === null ? null : new Date(date);
  await services.database.prisma.formerKey.update({ where: { id }, data: { deletion, deletion_date: deletionDate } });
  await services.failurePoints.pass('former-key-recorded');
}

/** A key that was taken for the new one by its tag alone is let be, and shown as a stray one: it may be somebody else's. */
async function leave(services: Services, { row, lease }: Work, { id, arn }: FormerKey): Promise<void> {
  await services.database.prisma.$transaction(async (transaction) => {
    await assertFenced(transaction, lease);
    await transaction.formerKey.update({ where: { id }, data: { deletion: 'left' } });
    const data = { arn, arn_on_record: row.arn };
    await recordEvent(transaction, { type: 'key.stray', key: row, data });
  });
  services.log.warn({ key: row.id, arn }, 'left a key that only its ownership tag tells to be of this record');
  await services.failurePoints.pass('former-key-recorded');
}

async function hindrance(services: Services, former: FormerKey, failure: KmsFailure): Promise<Hindrance> {
  const attempts = former.attempts + 1;
  await services.database.prisma.formerKey.update({ where: { id: former.id }, data: { attempts } });
  await services.failurePoints.pass('former-key-recorded');
  const dueAt = new Date(services.now() + pauseBefore(failure, attempts));
  const message = `The deletion of the former key ${former.arn} could not be scheduled: ${failure.message}`;
  services.log.warn({ key: former.key_ref, former: former.arn, code: failure.code }, message);
  const progress = { operation: failure.operation, retryable: true, attempts, next_attempt_at: dueAt.toISOString() };
  return { failure, dueAt, error: { code: failure.code, message, ...progress } };
}

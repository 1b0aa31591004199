/** Schedules the deletion of keys that others took the place of. */
import type { FormerKey } from '../../database/client.ts';
import { isPendingDeletion } from '../../domain/planner.ts';
import type { Step } from '../../domain/types.ts';
import { applyStep } from '../../kms/apply.ts';
import type { Kms } from '../../kms/client.ts';
import { KmsFailure } from '../../kms/errors.ts';
import { type DescribedKey, describeKey } from '../../kms/observe.ts';
import type { SyncError } from '../../schemas/key.ts';
import type { Services } from '../context.ts';
import { openJournal } from './journal.ts';
import { LeaseLost } from './lease.ts';
import type { Work } from './record.ts';
import { pauseAfterRefusal, retryDelay } from './retry.ts';
import { recordDone, sendWrite } from './send.ts';

/** What hinders the deletion of a former key, and when it is tried again. */
export type Hindrance = { failure: KmsFailure; error: SyncError; dueAt: Date };

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
  for (const former of waiting) {
    try {
      await deleteFormerKey(services, kms, work, former);
    } catch (error) {
      if (!(error instanceof KmsFailure)) throw error;
      return hindrance(services, former, error);
    }
  }
  const { count } = await services.database.prisma.key.updateMany({
    where: lease.fence,
    data: { former_keys_open: false },
  });
  if (count === 0) throw new LeaseLost(row.id);
  return null;
}

async function deleteFormerKey(services: Services, kms: Kms, work: Work, former: FormerKey): Promise<void> {
  const before = await describe(kms, former.key_id);
  if (before === null) return settle(services, former, 'gone', null);
  if (isPendingDeletion(before)) return settle(services, former, 'scheduled', before.deletion_date);
  const parameters = { PendingWindowInDays: former.window_in_days };
  const deletionDate = await schedule(services, kms, work, former, {
    operation: 'ScheduleKeyDeletion',
    field: 'lifecycle',
    parameters,
  });
  return settle(services, former, 'scheduled', deletionDate);
}

/** The write is in the journal under the former key's own id: it says nothing of the key that the record has now. */
async function schedule(
  services: Services,
  kms: Kms,
  work: Work,
  former: FormerKey,
  step: Extract<Step, { operation: 'ScheduleKeyDeletion' }>,
): Promise<string | null> {
  const { prisma } = services.database;
  const { row, lease } = work;
  await prisma.kmsWrite.updateMany({ where: { key_ref: former.id, outcome: null }, data: { outcome: 'unknown' } });
  const [entry] = await openJournal(services, { row: { ...row, id: former.id }, lease }, null, [step]);
  if (entry === undefined) throw new Error('The journal took no entry');
  // The event is the record's, and tells which key the write was for.
  const told = { ...entry, step: { ...step, parameters: { KeyId: former.key_id, ...step.parameters } } };
  const deletionDate = await sendWrite(services, work, told, (permit) => applyStep(kms, former.key_id, step, permit));
  await recordDone(services, work, told);
  return deletionDate;
}

async function describe(kms: Kms, keyId: string): Promise<DescribedKey | null> {
  try {
    return await describeKey(kms, keyId);
  } catch (error) {
    if (error instanceof KmsFailure && error.kind === 'not_found') return null;
    throw error;
  }
}

async function settle(services: Services, { id }: FormerKey, deletion: string, date: string | null): Promise<void> {
  const deletionDate = date === null ? null : new Date(date);
  await services.database.prisma.formerKey.update({ where: { id }, data: { deletion, deletion_date: deletionDate } });
}

async function hindrance(services: Services, former: FormerKey, failure: KmsFailure): Promise<Hindrance> {
  const attempts = former.attempts + 1;
  await services.database.prisma.formerKey.update({ where: { id: former.id }, data: { attempts } });
  const delay = failure.kind === 'refused' ? pauseAfterRefusal : retryDelay(attempts, Math.random());
  const dueAt = new Date(Date.now() + delay);
  const message = `The deletion of the former key ${former.arn} could not be scheduled: ${failure.message}`;
  services.log.warn({ key: former.key_ref, former: former.arn, code: failure.code }, message);
  const progress = { retryable: true, attempts, next_attempt_at: dueAt.toISOString() };
  return { failure, dueAt, error: { code: failure.code, message, ...progress } };
}

/** Sends the writes of the journal, and puts on record what became of them. */
import type { Step } from '../../domain/types.ts';
import { toKmsFailure } from '../../kms/errors.ts';
import type { Permit } from '../../kms/permit.ts';
import type { Services } from '../context.ts';
import { closeEntry, type JournalEntry, outcomeOf, permitFor, refreshEntry } from './journal.ts';
import type { Work } from './record.ts';

/**
 * Sends one write. When it fails, the outcome is on record before this throws.
 * @throws KmsFailure, LeaseLost
 */
export async function sendWrite<Answer>(
  services: Services,
  { row, lease }: Work,
  recorded: JournalEntry<Step>,
  send: (permit: Permit) => Promise<Answer>,
): Promise<Answer> {
  const entry = await refreshEntry(services, lease, recorded);
  const { failurePoints, database } = services;
  try {
    const answer = await send(permitFor(services, lease, entry));
    await failurePoints.pass('after-send');
    return answer;
  } catch (error) {
    const failure = toKmsFailure(error, entry.step.operation);
    await failurePoints.pass('after-send');
    await database.prisma.$transaction((transaction) =>
      closeEntry(transaction, row, entry, outcomeOf(failure), failure),
    );
    await failurePoints.pass('write-failed');
    throw failure;
  }
}

/** Puts on record that KMS carried a write out. */
export async function recordDone(services: Services, { row }: Work, entry: JournalEntry): Promise<void> {
  await services.database.prisma.$transaction((transaction) => closeEntry(transaction, row, entry, 'done'));
  await services.failurePoints.pass('write-closed');
}

/** Steps that were not reached are closed as such, so that nobody takes them for cut off. */
export async function recordSkipped(services: Services, { row }: Work, entries: JournalEntry[]): Promise<void> {
  if (entries.length === 0) return;
  await services.database.prisma.$transaction(async (transaction) => {
    for (const entry of entries) await closeEntry(transaction, row, entry, 'skipped');
  });
  await services.failurePoints.pass('write-closed');
}

/** Sends the writes of the journal, and puts on record what became of them. */
import { makesKey } from '../../domain/operations.ts';
import type { Step } from '../../domain/types.ts';
import type { Kms } from '../../kms/client.ts';
import { KmsFailure, toKmsFailure } from '../../kms/errors.ts';
import type { Permit } from '../../kms/permit.ts';
import { currentUrgency } from '../../kms/urgency.ts';
import type { Services } from '../context.ts';
import { statusMoves, writeRow } from '../rows/write.ts';
import { closeEntry, outcomeOf, permitFor, recordRest, refreshEntry } from './journal.ts';
import type { JournalEntry } from './journal-entry.ts';
import type { Work } from './lease.ts';

/**
 * Sends one write, when its turn in the request quota has come. When it fails, the outcome is on record before this throws.
 * @throws KmsFailure, LeaseLost
 */
export async function sendWrite<Answer>(
  services: Services,
  kms: Kms,
  work: Work,
  recorded: JournalEntry<Step>,
  send: (permit: Permit) => Promise<Answer>,
): Promise<Answer> {
  try {
    await waitForTurn(kms, recorded);
  } catch (error) {
    throw await recordFailure(services, work, recorded, error);
  }
  const entry = await refreshEntry(services, work.lease, recorded);
  try {
    const answer = await send(permitFor(services, work.lease, entry));
    await services.failurePoints.pass('after-send');
    return answer;
  } catch (error) {
    await services.failurePoints.pass('after-send');
    throw await recordFailure(services, work, entry, error);
  }
}

/** Before the write's deadline begins, which must not pass with waiting. */
async function waitForTurn({ quotas }: Kms, { step, following = [] }: JournalEntry): Promise<void> {
  for (const { operation } of following) {
    await quotas.take(operation);
    currentUrgency().prepay(operation);
  }
  await quotas.take(step.operation);
}

/** Gives back the turns that were taken for steps and not used. */
export function giveTurnsBack({ quotas }: Kms, steps: Step[]): void {
  for (const { operation } of steps) {
    // What makes a key was paid for by who took it up.
    if (!makesKey(operation) && currentUrgency().usePrepaid(operation)) quotas.giveBack(operation);
  }
}

async function recordFailure(services: Services, { row }: Work, entry: JournalEntry, error: unknown) {
  const told = toKmsFailure(error, entry.step.operation);
  const failure = services.failurePoints.isOff('any-answer-proves') ? asRefusal(told) : told;
  await services.database.prisma.$transaction((transaction) =>
    closeEntry(transaction, row, entry, outcomeOf(failure), failure),
  );
  await services.failurePoints.pass('write-failed');
  return failure;
}

/** Whatever is answered with an error, by whomever, as if it were KMS's own refusal. */
function asRefusal(failure: KmsFailure): KmsFailure {
  const { code, message, operation, certainlyNotDone } = failure;
  const isAnswer = code === 'NotKmsAnswer' || /(Exception|Blocked)$/.test(code);
  return certainlyNotDone || !isAnswer ? failure : new KmsFailure('refused', code, message, operation, true);
}

/**
 * Puts on record that KMS carried a write out, and the state that it brought the key to, where that is another one.
 * @param isLast that can be left to the transaction that ends the sync.
 */
export async function recordDone(
  services: Services,
  { row, lease }: Work,
  entry: JournalEntry,
  { key_state, isLast = false }: { key_state?: string | undefined; isLast?: boolean } = {},
): Promise<void> {
  lease.unrecorded.push(async (transaction) => {
    if (key_state !== undefined) await writeRow(transaction, lease.fence, { key_state, ...statusMoves });
    await closeEntry(transaction, row, entry, 'done');
    return true;
  });
  if (!isLast) await recordRest(services, lease);
}

/** Steps that were not reached are closed as such, so that nobody takes them for cut off. */
export async function recordSkipped(services: Services, { row }: Work, entries: JournalEntry[]): Promise<void> {
  if (entries.length === 0) return;
  await services.database.prisma.$transaction(async (transaction) => {
    for (const entry of entries) await closeEntry(transaction, row, entry, 'skipped');
  });
  await services.failurePoints.pass('write-closed');
}

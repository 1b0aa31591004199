/** What was asked of a key beside what is declared: its sync carries it out, oldest first. */
import type { Transaction } from '../../database/client.ts';
import type { ObservedKey, Step } from '../../domain/types.ts';
import { KmsFailure } from '../../kms/errors.ts';
import type { Services } from '../context.ts';
import { holdWork, writeWork } from '../rows/write.ts';
import type { Work } from './lease.ts';
import { type Hindrance, mayHeal, pauseBefore } from './retry.ts';

/** Carries out one step through the journal. */
export type Apply = (key: ObservedKey, step: Step) => Promise<ObservedKey>;

/** One thing that somebody asked for, as it is on record. */
type Errand = { key_ref: string; created_at: Date };

/**
 * Carries out what was asked for. Nothing that is declared depends on it: what has to be tried again holds up no more than what
 * comes after it.
 * @param carryOut throws KmsFailure where it has to be tried again.
 * @returns what hinders it; null: nothing is left to do.
 */
export async function carryOutInTurn<Asked extends Errand>(
  services: Services,
  errands: Asked[],
  carryOut: (errand: Asked) => Promise<void>,
): Promise<Hindrance | null> {
  for (const errand of errands) {
    try {
      await carryOut(errand);
    } catch (error) {
      if (!(error instanceof KmsFailure)) throw error;
      return hindranceOf(services, errand, error);
    }
  }
  return null;
}

/** Puts on record whether anything that was asked for is left to do. @param count how much of it is, in the transaction. */
export async function recordLeft(
  { database }: Services,
  { row, lease }: Work,
  mark: 'grants_open' | 'rotations_open',
  count: (transaction: Transaction) => Promise<number>,
): Promise<void> {
  await database.prisma.$transaction(async (transaction) => {
    // Locked before it is counted: a request that comes now is either seen, or sets the mark after this.
    await holdWork(transaction, { id: row.id });
    await writeWork(transaction, lease.fence, { [mark]: (await count(transaction)) > 0 });
  });
}

/** The next try waits for as long as it has been tried in vain. */
function hindranceOf({ log, now }: Services, { key_ref, created_at }: Errand, failure: KmsFailure): Hindrance {
  const seconds = Math.max(1, (now() - created_at.getTime()) / 1000);
  const attempts = Math.ceil(Math.log2(seconds)) + 1;
  const dueAt = new Date(now() + pauseBefore(failure, attempts));
  const { code, message, operation } = failure;
  log.warn({ key: key_ref, operation, code, message }, 'what was asked for will be tried again');
  const error = { code, message, operation, retryable: true, attempts, next_attempt_at: dueAt.toISOString() };
  return { failure, dueAt, error };
}

/** What surely was not done, and may be a while later with nothing else changed: rights take minutes to be known everywhere. */
export function mayPass({ now, times }: Services, { created_at }: Errand, failure: KmsFailure): boolean {
  const isPassing = ['throttled', 'credentials', 'fault'].includes(failure.kind);
  return isPassing || (mayHeal(failure) && now() - created_at.getTime() < times.propagation);
}

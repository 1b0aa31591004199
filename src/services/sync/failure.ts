/** What becomes of a key whose sync could not be carried through. */
import { KmsFailure } from '../../kms/errors.ts';
import type { Services } from '../context.ts';
import type { KeyRow } from '../rows/key-row.ts';
import { makingOf } from '../rows/relatives.ts';
import { CreationUnsettled } from './creation.ts';
import { isOnHold } from './held.ts';
import type { Work } from './lease.ts';
import { timeSinceFirstRefusal } from './open-writes.ts';
import { waitsForState } from './passing-state.ts';
import { recordRetry } from './record.ts';
import { takeBack } from './refusal.ts';
import { isFinal, isRead, mayHeal, retryDelay } from './retry.ts';

/**
 * Records why a sync could not go on: it is tried again, or what was asked for is taken back.
 * @returns the row when it asks for another round, else null.
 * @throws the error, where it tells of nothing that the key could say.
 */
export async function recordFailure(services: Services, work: Work, error: unknown): Promise<KeyRow | null> {
  if (error instanceof CreationUnsettled) {
    const failure = new KmsFailure('fault', error.code, error.message, makingOf(work.row), false);
    return recordRetry(services, work, failure, { noLaterThan: error.until });
  }
  if (isMisunderstanding(error)) return recordRetry(services, work, misunderstood(error));
  if (!(error instanceof KmsFailure)) throw error;
  // What was not written can't be refused, and a held key is to be compared soon.
  if (isOnHold(work)) {
    return recordRetry(services, work, error, { dueIn: retryDelay(work.row.attempts + 1, Math.random()) });
  }
  const propagation = services.failurePoints.isOff('denials-are-final') ? 0 : services.times.propagation;
  const refusedFor = mayHeal(error) ? await timeSinceFirstRefusal(services, work.row, error) : 0;
  if (isFinal(error, { attempts: work.row.attempts + 1, refusedFor, propagation })) {
    const waiting = await waitsForState(services, work.row, error);
    return waiting === null ? takeBack(services, work, error) : recordRetry(services, work, waiting);
  }
  if (isRead(error) || !mayHeal(error)) return recordRetry(services, work, error);
  const end = new Date(services.now() + propagation - refusedFor);
  return recordRetry(services, work, waitingFor(error, end), { noLaterThan: end });
}

/** What JavaScript throws where a value has another shape than the code takes it to have. */
function isMisunderstanding(error: unknown): error is Error {
  return error instanceof TypeError || error instanceof RangeError || error instanceof SyntaxError;
}

/** A key that Keyward can make no sense of says so itself, rather than being tried again and again in silence. */
function misunderstood({ message }: Error): KmsFailure {
  const detail = `Keyward can make no sense of what KMS holds of this key: ${message}`;
  return new KmsFailure('fault', 'UnusableAnswer', detail, 'DescribeKey', true);
}

/** The same failure, with what it waits for in its words. */
function waitingFor({ kind, code, message, operation }: KmsFailure, end: Date): KmsFailure {
  const cause = kind === 'denied' ? 'a right that was just given' : 'a principal or key that was just made';
  const patience = `Keyward tries again until ${end.toISOString()}, since ${cause} may not be known to KMS yet.`;
  return new KmsFailure(kind, code, `${message.replace(/[^.!?]$/, '$&.')} ${patience}`, operation, true);
}

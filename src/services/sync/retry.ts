/** When a sync that failed is tried again, and when it is given up. */
import type { KmsFailure } from '../../kms/errors.ts';

const firstDelay = 500;
const longestDelay = 60_000;
/** Milliseconds until KMS is asked again for what it has refused: drift to mend, a revert, a former key's deletion. */
export const pauseAfterRefusal = 600_000;

/**
 * How often a call is tried that KMS refuses for a reason that may pass: a state that moved under us, a principal
 * that is not yet known everywhere. Four tries take about six seconds, less than the default wait of a request.
 */
const patience = 4;

/**
 * Milliseconds until the next attempt: doubling, with a quarter of jitter either way so that many don't come at once.
 * @param attempts how many have failed, 1 or more.
 * @param random a number from 0 up to 1.
 */
export function retryDelay(attempts: number, random: number): number {
  const delay = Math.min(longestDelay, firstDelay * 2 ** Math.min(attempts - 1, 20));
  return Math.round(delay * (0.75 + random / 2));
}

/** Whether KMS will not do this however often it is asked. */
export function isFinal(failure: KmsFailure, attempts: number): boolean {
  switch (failure.kind) {
    case 'refused':
      return true;
    case 'conflict':
    case 'unpropagated':
      return attempts >= patience;
    case 'throttled':
    case 'fault':
    case 'credentials':
    case 'not_found':
      return false;
  }
}

/** When a sync that failed is tried again, and when it is given up. */
import { isErrand } from '../../domain/operations.ts';
import type { FailureKind, KmsFailure } from '../../kms/errors.ts';
import type { SyncError } from '../../schemas/key.ts';
import { longestRetry } from '../rows/due.ts';

/** What hinders an errand, or the deletion of a former key, and when it is tried again. */
export type Hindrance = { failure: KmsFailure; error: SyncError; dueAt: Date };

const firstDelay = 500;
/** A quarter of jitter comes on top. */
const longestDelay = longestRetry / 1.25;
/** Milliseconds until KMS is asked again for what it has refused: drift to mend, a revert, a former key's deletion. */
export const pauseAfterRefusal = 600_000;

/** How often a call is tried that found the key in another state than it needs: it moved under us. That takes six seconds. */
const patience = 4;

/** What time may heal: rights and principals are known everywhere only after minutes. */
const healing = new Set<FailureKind>(['denied', 'unpropagated']);

/**
 * Milliseconds until the next attempt: doubling, with a quarter of jitter either way so that many don't come at once.
 * @param attempts how many have failed, 1 or more.
 * @param random a number from 0 up to 1.
 */
export function retryDelay(attempts: number, random: number): number {
  const delay = Math.min(longestDelay, firstDelay * 2 ** Math.min(attempts - 1, 20));
  return Math.round(delay * (0.75 + random / 2));
}

/** How often a call that time may heal is tried in short order: two minutes' worth. */
const briskTries = 9;

/** Milliseconds until a call that has failed so often is tried again. */
export function pauseBefore(failure: Pick<KmsFailure, 'kind'>, attempts: number): number {
  const isRefused =
    failure.kind === 'refused' || failure.kind === 'unsupported' || (mayHeal(failure) && attempts >= briskTries);
  return isRefused ? pauseAfterRefusal : retryDelay(attempts, Math.random());
}

/** Whether a call only asks. What KMS won't tell is no word on what was declared. */
export function isRead({ operation }: Pick<KmsFailure, 'operation'>): boolean {
  return /^(Describe|Get|List)/.test(operation);
}

/** Whether KMS may carry out the same call a while later, with nothing else changed. */
export function mayHeal({ kind }: Pick<KmsFailure, 'kind'>): boolean {
  return healing.has(kind);
}

export type Tries = {
  /** How often the sync has failed, 1 or more. */
  attempts: number;
  /** Milliseconds since KMS first refused this call for what is declared. */
  refusedFor: number;
  /** Milliseconds that rights and principals take to be known everywhere. */
  propagation: number;
};

/** Whether KMS will not do this however often it is asked. */
export function isFinal(failure: KmsFailure, { attempts, refusedFor, propagation }: Tries): boolean {
  // What was asked for alone has an end of its own.
  if (isRead(failure) || isErrand(failure.operation)) return false;
  switch (failure.kind) {
    case 'refused':
    case 'unsupported':
      return true;
    case 'conflict':
      return attempts >= patience;
    case 'denied':
    case 'unpropagated':
      return refusedFor >= propagation;
    case 'throttled':
    case 'fault':
    case 'credentials':
    case 'not_found':
      return false;
  }
}

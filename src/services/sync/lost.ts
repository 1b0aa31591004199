/**
 * When a key that KMS does not find is gone. One answer proves nothing (I9): it may be stale, or of a KMS that never had the
 * key. Several do, over more time than KMS's answers may be stale, from a KMS that has other keys of the provider.
 */

import { KmsFailure } from '../../kms/errors.ts';
import type { SyncError } from '../../schemas/key.ts';
import type { Services, Times } from '../context.ts';
import type { Access } from '../providers/access.ts';
import { lookForOthers, sampleOf } from '../providers/sample.ts';
import { errorOf } from '../rows/declared.ts';
import type { KeyRow } from '../rows/key-row.ts';
import { isKnownLost } from '../rows/predicates.ts';

/** Answers that it takes at least. */
const fewestAnswers = 3;
const shortestSpread = 1000;
/** Milliseconds between looks at a lost key: as long as it has been lost, within these. */
const [soonestLook, latestLook] = [3_600_000, 86_400_000];

const notFound = 'NotFoundException';
const noneThere = 'ProviderHasNoneOfItsKeys';

/** Milliseconds over which answers have to be spread that prove that a key is gone. */
export function timeToLose({ settle }: Times): number {
  return Math.max(shortestSpread, settle * 1.5);
}

/** When an error began that an attempt meets again: that of a key that is not found goes on whatever is made of it. */
export function beginningOf(row: KeyRow, code: string, now: number): string {
  const shown = errorOf(row);
  const isSame = shown !== null && (shown.code === code || (isOfAbsence(shown.code) && isOfAbsence(code)));
  // A refusal stays on show while it is taken back, and has what hinders that begin with the first attempt that failed.
  const isWayBack =
    shown?.retryable === false && shown.next_attempt_at !== null && row.generation > row.synced_generation;
  return (isSame || isWayBack ? shown.since : undefined) ?? new Date(now).toISOString();
}

function isOfAbsence(code: string): boolean {
  return code === notFound || code === noneThere;
}

/** Whether KMS has not found the key, and it is not known yet what to make of that. */
export function isMissing(error: SyncError | null): boolean {
  return error?.retryable === true && isOfAbsence(error.code);
}

/** Why a key is not given up yet, and in how many milliseconds it is looked for again; undefined: as any failure. */
export type Doubt = { failure: KmsFailure; dueIn?: number };

/**
 * What speaks against a key's being gone when KMS has just not found it.
 * @returns null: nothing does.
 */
export async function doubtOf(
  services: Services,
  { kms, settings }: Access,
  row: KeyRow,
  failure: KmsFailure,
): Promise<Doubt | null> {
  if (services.failurePoints.isOff('one-not-found-is-final') || isKnownLost(row)) return null;
  const shown = errorOf(row);
  const isJudged = shown !== null && !shown.retryable && shown.code === notFound;
  const now = services.now();
  const since = Date.parse(beginningOf(row, notFound, now));
  const end = since + timeToLose(services.times);
  if (!isJudged && (now < end || row.attempts + 1 < fewestAnswers)) {
    const lost = `Keyward takes the key for lost when no answer shows it until ${new Date(end).toISOString()}.`;
    return { failure: told(failure, notFound, `${sentence(failure.message)} ${lost}`) };
  }
  const date = row.lifecycle === 'pending_deletion' ? row.deletion_date : null;
  if (date !== null && (kms.clock.now() ?? now) < date.getTime()) {
    const early = `KMS was to delete the key on ${date.toISOString()}, not before: Keyward looks for it until then.`;
    return { failure: told(failure, notFound, `${sentence(failure.message)} ${early}`), dueIn: soonestLook };
  }
  const sample = isJudged ? 'seen' : await lookForOthers(kms, await sampleOf(services, row, new Date(since)));
  if (sample === 'seen') return null;
  if (sample === 'untold') return { failure };
  const message = `KMS has none of provider ${row.provider}'s keys: this is not the account, Region or endpoint that they are in. No key is taken for lost.`;
  return { failure: told(failure, noneThere, message), dueIn: settings.refresh_interval_seconds * 1000 };
}

function told({ kind, operation }: KmsFailure, code: string, message: string): KmsFailure {
  return new KmsFailure(kind, code, message, operation, true);
}

function sentence(text: string): string {
  return text.replace(/[^.!?]$/, '$&.');
}

/** When a lost key is looked for again: for ever, since it may be there again, and ever more seldom. */
export function nextLookAtLost(row: KeyRow, now: number): Date {
  const lostFor = now - Date.parse(beginningOf(row, notFound, now));
  const pause = Math.min(latestLook, Math.max(soonestLook, lostFor));
  return new Date(now + pause * (0.9 + Math.random() / 5));
}

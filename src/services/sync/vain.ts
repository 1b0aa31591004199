/** Drift that KMS was told to end, confirmed, and still shows: it is reported, and KMS is told again rarely. */

import type { RecentWrite } from '../../domain/recent-writes.ts';
import type { UnknownWrite } from '../../domain/scope.ts';
import type { DesiredKey, ObservedKey, Step } from '../../domain/types.ts';
import { type InVain, inVain, leavingAlone, nextTry } from '../../domain/vain-writes.ts';
import type { Drift, SyncError } from '../../schemas/key.ts';
import type { Services } from '../context.ts';
import { driftOf } from '../rows/declared.ts';
import type { KeyRow } from '../rows/key-row.ts';
import { isEnforcingAskedFor, isSynced } from '../rows/predicates.ts';
import { type SyncMode, stepsFor } from './mode.ts';

/** How many of a key's latest writes are looked at. */
const mostWrites = 50;

/** Those of the differences that were put right in vain. */
export async function findInVain(
  services: Services,
  row: KeyRow,
  desired: DesiredKey,
  observed: ObservedKey | null,
  found: Drift[],
): Promise<InVain[]> {
  if (observed === null || found.length === 0 || !isSynced(row) || services.failurePoints.isOff('no-effect-check'))
    return [];
  const writes = await findConfirmedWrites(services, row.id);
  const known = driftOf(row);
  const now = new Date(services.now());
  return found.flatMap(({ field, desired: declared, observed: seen }) => {
    const before = known.find((entry) => entry.field === field);
    const evidence = {
      writes,
      knownSince: before === undefined ? null : new Date(before.since),
      lookedAt: row.last_observed_at,
      now,
      settle: services.times.settle,
    };
    const difference = { field, desired: declared, observed: seen } as Parameters<typeof inVain>[2];
    return inVain(desired, observed, difference, evidence) ?? [];
  });
}

function findConfirmedWrites({ database }: Services, keyId: string): Promise<RecentWrite[]> {
  return database.prisma.$queryRaw<RecentWrite[]>`
    SELECT operation, parameters, before, finished_at FROM kms_writes
    WHERE key_ref = ${keyId}::uuid AND outcome = 'done' ORDER BY finished_at DESC, id DESC LIMIT ${mostWrites}`;
}

/** Drift with the time since which it is there: what was put right in vain never ended. */
export function sinceInVain(found: Drift[], vain: InVain[]): Drift[] {
  return found.map((entry) => {
    const known = vain.find(({ field }) => field === entry.field);
    return known === undefined ? entry : { ...entry, since: known.since.toISOString() };
  });
}

/**
 * The steps of a sync in this mode, without those that are not to be tried again yet. Whoever asks for a sync outright has all tried.
 */
export function stepsNow(
  mode: SyncMode,
  row: KeyRow,
  desired: DesiredKey,
  observed: ObservedKey | null,
  { vain, unknown, now }: { vain: InVain[]; unknown: UnknownWrite[]; now: number },
): Step[] {
  const isAsked = isEnforcingAskedFor(row);
  const waiting = isAsked ? [] : vain.filter((entry) => nextTry(entry).getTime() > now).map(({ field }) => field);
  if (waiting.length === 0 || observed === null) return stepsFor(mode, row, desired, observed, unknown);
  const target = leavingAlone(desired, observed, waiting);
  return target === null ? [] : stepsFor(mode, row, target, observed, unknown);
}

/** Tells the drift that was not put right in vain. */
export function isNotIn(vain: InVain[]): (entry: Drift) => boolean {
  return ({ field }) => !vain.some((entry) => entry.field === field);
}

/** What is still to be shown of drift that was just put right once more: only the next look can tell whether it ended. */
export function stillShown(drift: Drift[], found: Drift[], vain: InVain[]): Drift[] {
  const kept = found.filter(({ field }) => vain.some((entry) => entry.field === field));
  return [...drift.filter(({ field }) => !kept.some((entry) => entry.field === field)), ...kept];
}

/** The error that tells of it; null: there is none. @param steps those that were just carried out. */
export function noEffect(vain: InVain[], steps: Step[], now: number): SyncError | null {
  const [first] = vain;
  if (first === undefined) return null;
  const tried = vain.map((entry) => {
    const isRepeated = steps.some(({ operation }) => operation === entry.operation);
    return isRepeated ? { ...entry, lastAt: new Date(now), times: entry.times + 1 } : entry;
  });
  const words = tried.map(({ field, observed, operation, lastAt }) => {
    return `KMS confirmed ${operation} at ${lastAt.toISOString()}, and ${field} still was ${JSON.stringify(observed)} at the last look`;
  });
  const next = new Date(Math.min(...tried.map((entry) => nextTry(entry).getTime())));
  return {
    code: 'NoEffect',
    operation: first.operation,
    message: `${words.join('; ')}. Keyward tells KMS again, at growing intervals.`,
    retryable: true,
    attempts: Math.max(...tried.map(({ times }) => times)),
    next_attempt_at: next.toISOString(),
  };
}

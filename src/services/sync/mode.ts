/** What a sync does about a difference, which steps follow from that, and when it is to look again. */

import { isPendingDeletion } from '../../domain/key-state.ts';
import { plan, planWithin } from '../../domain/planner.ts';
import { type Scope, scopeOf, type UnknownWrite } from '../../domain/scope.ts';
import { lacksOwnershipTag } from '../../domain/tags.ts';
import type { DesiredKey, ObservedKey, Step } from '../../domain/types.ts';
import type { Drift } from '../../schemas/key.ts';
import type { Services } from '../context.ts';
import { findRevision } from '../keys/revisions.ts';
import { dueTagNames } from '../rows/declared.ts';
import type { KeyRow } from '../rows/key-row.ts';
import { isEnforcingAskedFor, isLookAskedFor, isSynced } from '../rows/predicates.ts';

/** Milliseconds after a key's deletion date at which KMS is asked whether it is gone. */
const deletionGrace = 5000;
/** Milliseconds between looks at a key whose deletion waits for its replicas, or is late. */
const deletionPoll = 3_600_000;
/** Milliseconds from the answer of POST …/refresh until the drift that it shows is dealt with. */
const mendingDelay = 5000;

/**
 * What is to be done about a difference.
 * - enforce: put KMS in the desired state.
 * - report: say it.
 * - adopt: take it into the desired state.
 * - claim: say it, and mark the key as Keyward's.
 */
export type SyncMode = 'enforce' | 'report' | 'adopt' | 'claim';

/**
 * The mode of the sync at hand. A change that KMS does not hold yet and POST …/sync are enforced whatever the drift policy; POST
 * …/refresh only looks. While a write of Keyward's own has an unknown outcome, nothing is adopted: it may be half of one.
 */
export async function modeOf(services: Services, row: KeyRow): Promise<SyncMode> {
  if (await isNewImport(services, row)) return 'claim';
  if (!isSynced(row) || isEnforcingAskedFor(row)) return 'enforce';
  if (isLookAskedFor(row)) return 'report';
  if (row.writes_open && row.drift_policy === 'adopt') return 'report';
  return row.drift_policy as 'enforce' | 'report' | 'adopt';
}

/** An import changes nothing in KMS but the ownership tag, whatever the provider's default tags would have there. */
async function isNewImport(
  services: Services,
  { id, key_id, generation, synced_generation }: KeyRow,
): Promise<boolean> {
  if (key_id === null || synced_generation !== 0) return false;
  return (await findRevision(services, id, generation))?.origin === 'import';
}

/**
 * The steps of a sync in this mode. Whatever the drift policy, a change of the provider's default tags goes its way, a write of
 * unknown outcome is repeated, and the ownership tag is put back, by which Keyward knows the key.
 * @param unknown writes of the generation that KMS was made to hold.
 */
export function stepsFor(
  mode: SyncMode,
  row: KeyRow,
  desired: DesiredKey,
  observed: ObservedKey | null,
  unknown: UnknownWrite[],
): Step[] {
  if (mode === 'enforce') return plan(desired, observed);
  return observed === null ? [] : planWithin(scopeFor(mode, row, desired, unknown), desired, observed);
}

function scopeFor(mode: SyncMode, row: KeyRow, { ownership_tag }: DesiredKey, unknown: UnknownWrite[]): Scope {
  if (mode === 'claim') return scopeOf([], [ownership_tag.name]);
  const onlyLooks = isLookAskedFor(row);
  return scopeOf(unknown, [...dueTagNames(row), ...(onlyLooks ? [] : [ownership_tag.name])]);
}

/** Whether a look found drift that the drift policy has something done about, or that the ownership tag is gone. */
export function isToBeMended(
  row: KeyRow,
  mode: SyncMode,
  { drift, desired, reached }: { drift: Drift[]; desired: DesiredKey; reached: ObservedKey },
): boolean {
  if (mode !== 'report' || row.lifecycle === 'released') return false;
  const mustClaim = row.lifecycle === 'managed' && !isPendingDeletion(reached);
  if (mustClaim && lacksOwnershipTag(reached.tags, desired.ownership_tag)) return true;
  return row.drift_policy !== 'report' && drift.length > 0;
}

type NextLook = { now: number; settling: number; refresh: number; isToBeMended: boolean };

/**
 * A key whose deletion was asked for is looked at when its time has come, any other at the next refresh or when it has
 * settled: a deletion that somebody else scheduled is drift, which may end any day.
 */
export function nextLook(
  { lifecycle }: KeyRow,
  observed: ObservedKey,
  { now, settling, refresh, isToBeMended }: NextLook,
): Date {
  if (isToBeMended) return new Date(now + mendingDelay);
  if (lifecycle === 'pending_deletion' && observed.key_state === 'PendingReplicaDeletion') {
    return new Date(now + deletionPoll);
  }
  if (lifecycle === 'pending_deletion' && isPendingDeletion(observed) && observed.deletion_date !== null) {
    const due = Date.parse(observed.deletion_date) + deletionGrace;
    return new Date(due > now ? due : now + deletionPoll);
  }
  const jittered = refresh * (0.9 + Math.random() / 5);
  return new Date(now + (settling > 0 ? Math.min(settling, jittered) : jittered));
}

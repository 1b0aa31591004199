/** SQL: which keys are due, and what is to be done with them. */

/** What is known of gaps in the database's time; `isHeld`: some key may be held back by one. */
export type Gap = { isHeld: boolean; gap: number };

/** Milliseconds: no retry comes later, but for what KMS has refused. */
export const longestRetry = 75_000;

/** The number of the last gap. A held key has a lower gap_seen. */
export const lastGap = 'coalesce((SELECT gap FROM installation), 0)';

/**
 * Of `work`: due, and nobody is at it. After a gap each key is due for a first look: it follows from numbers, since nobody could
 * wait until all rows are written. One whose look failed is tried again when it says; what it says later than that for was said
 * before the gap.
 */
export function isDue({ isHeld, gap }: Gap): string {
  const isUntried = `(attempts = 0 OR due_at > now() + ${longestRetry} * interval '1 millisecond')`;
  const isInKms = `EXISTS (SELECT 1 FROM keys AS there WHERE there.id = work.key_ref AND there.state <> 'deleted')`;
  const isUnchecked = `(gap_seen < ${gap} AND gap_checked < ${gap} AND ${isUntried} AND ${isInKms})`;
  const isTime = isHeld ? `(due_at <= now() OR ${isUnchecked})` : 'due_at <= now()';
  return `${isTime} AND (lease_until IS NULL OR lease_until < now())`;
}

/** Of both tables: KMS had it before Keyward, and nothing was asked of it since it was imported: it may be one of thousands. */
const isNewlyImported = 'key_id IS NOT NULL AND synced_generation = 0 AND asked = 0';

/** Of both tables: somebody waits for it, and its first attempt is still to come: its wake-up was lost, or its worker died. */
export const isUrgent = `attempts = 0 AND state <> 'failed' AND NOT (${isNewlyImported})
  AND (generation > synced_generation OR requested_observation > served_observation)`;

/** Of both tables: nothing is to be done but to look whether KMS still holds what it held. */
export const isPlain = `state = 'in_sync' AND lifecycle = 'managed' AND generation = synced_generation
  AND requested_observation = served_observation AND attempts = 0 AND error IS NULL AND drift::text = '[]'
  AND key_id IS NOT NULL AND observed IS NOT NULL AND replacement IS NULL AND default_tags_due IS NULL
  AND (policy_form ->> 'confirmed') IS DISTINCT FROM 'false'
  AND creator IS NULL AND NOT (writes_open OR errands_open OR former_keys_open)`;

/** Of both tables: KMS has yet to make it, and nobody has tried. */
export const isUnmade = `key_id IS NULL AND lifecycle = 'managed' AND replacement IS NULL AND NOT writes_open`;

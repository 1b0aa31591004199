/** The keys that are due, and how each is gone about. */
import { keyColumns } from '../../database/columns.ts';
import type { Services } from '../context.ts';
import type { GapWatch } from '../recovery/watch.ts';
import { longestRetry } from './retry.ts';

const columns = keyColumns();

/** How many due keys of one provider one look finds: another provider's never wait behind them. */
const foundAtOnce = 200;

/**
 * SQL: due, and nobody is at it. After a gap each key is due for a first look: it follows from numbers, since nobody could wait
 * until all rows are written. One whose look failed is tried again when it says; what it says later than that for was said
 * before the gap.
 */
export function isDue({ isHeld, gap }: GapWatch): string {
  const isUntried = `(attempts = 0 OR due_at > now() + ${longestRetry} * interval '1 millisecond')`;
  const isUnchecked = `(gap_seen < ${gap} AND gap_checked < ${gap} AND ${isUntried} AND state <> 'deleted')`;
  const isTime = isHeld ? `(due_at <= now() OR ${isUnchecked})` : 'due_at <= now()';
  return `${isTime} AND (lease_until IS NULL OR lease_until < now())`;
}

/** SQL: somebody waits for it, and its first attempt is still to come: its wake-up was lost, or its worker died. */
const isUrgent = `attempts = 0 AND state <> 'failed'
  AND (generation > synced_generation OR requested_observation > served_observation)`;

/** SQL: nothing is to be done but to look whether KMS still holds what it held. */
export const isPlain = `state = 'in_sync' AND lifecycle = 'managed' AND generation = synced_generation
  AND requested_observation = served_observation AND attempts = 0 AND error IS NULL AND drift::text = '[]'
  AND key_id IS NOT NULL AND observed IS NOT NULL AND replacement IS NULL AND default_tags_due IS NULL
  AND (policy_form ->> 'confirmed') IS DISTINCT FROM 'false'
  AND NOT (writes_open OR rotations_open OR former_keys_open)`;

/**
 * Takes the leases of plain keys that are due, held ones first, then the longest due. Parameters: provider, count, token,
 * milliseconds.
 */
export function takePlainKeys(watch: GapWatch): { name: string; text: string } {
  const { isHeld, gap } = watch;
  const order = isHeld ? `(gap_seen < ${gap}) DESC, due_at` : 'due_at';
  const text = `
    UPDATE keys SET lease_token = $3::uuid, lease_until = now() + $4 * interval '1 millisecond'
    WHERE id IN (
      SELECT id FROM keys WHERE provider = $1 AND ${isDue(watch)} AND ${isPlain} ORDER BY ${order} LIMIT $2 FOR UPDATE SKIP LOCKED)
    RETURNING ${columns}`;
  return { name: isHeld ? `take_plain_${gap}` : 'take_plain', text };
}

/** SQL: KMS has yet to make it, and nobody has tried. */
const isUnmade = `key_id IS NULL AND lifecycle = 'managed' AND replacement IS NULL AND NOT writes_open`;

type Due = { id: string; provider: string; is_urgent: boolean; is_unmade: boolean };

export type DueKeys = {
  /** Keys that somebody waits for, the longest due first. `is_unmade`: KMS has yet to make it. */
  waitedFor: Due[];
  /** Keys that are due for another reason; those that were tried before come first. */
  scheduled: Due[];
  /** Providers some of whose keys are due for nothing but a look. */
  plain: string[];
};

/** What is due, at most some hundreds of keys of each provider. */
export async function findDueKeys(services: Services): Promise<DueKeys> {
  const { database, watch } = services;
  if (watch.isHeld) await passOverDeleted(services);
  // What was changed for all keys at once comes after what failed before: those are few, and somebody may look at them.
  const { rows: single } = await database.pool.query<Due>(
    `SELECT id, provider, is_urgent, is_unmade FROM (
      SELECT *, row_number() OVER (PARTITION BY provider, is_urgent, is_unmade ORDER BY is_retry DESC, due_at) AS place FROM (
        SELECT id, provider, due_at, (${isUrgent}) AS is_urgent, attempts > 0 AS is_retry, (${isUnmade} AND gap_seen >= ${watch.gap}) AS is_unmade
        FROM keys
        WHERE ${isDue(watch)} AND (${isPlain}) IS NOT TRUE
      ) AS due
    ) AS placed
    WHERE place <= ${foundAtOnce} ORDER BY place`,
  );
  const { rows: plain } = await database.pool.query<{ provider: string }>(
    `SELECT name AS provider FROM providers
    WHERE EXISTS (SELECT 1 FROM keys WHERE provider = name AND ${isDue(watch)} AND ${isPlain})`,
  );
  return {
    waitedFor: single.filter(({ is_urgent }) => is_urgent),
    scheduled: single.filter(({ is_urgent }) => !is_urgent),
    plain: plain.map(({ provider }) => provider),
  };
}

/** What KMS has deleted does not come back: there is nothing to hold. */
async function passOverDeleted({ database, watch }: Services): Promise<void> {
  await database.pool.query(
    "UPDATE keys SET gap_seen = $1, gap_checked = $1 WHERE gap_seen < $1 AND state = 'deleted' AND lease_token IS NULL",
    [watch.gap],
  );
}

/** The keys that are due, and how each is gone about. */

import { keyTables } from '../../database/columns.ts';
import type { Services } from '../context.ts';
import { isDue, isPlain, isUnmade, isUrgent } from '../rows/due.ts';
import { passOverDeleted } from '../rows/gap.ts';

/** How many due keys of one provider one look finds: another provider's never wait behind them. */
const foundAtOnce = 200;
/** The same of those that KMS has yet to make, for each caller: more than are made until the next look. */
const foundToBeMade = 50;

type Due = { id: string; provider: string; is_urgent: boolean; creator: string | null };

export type DueKeys = {
  /** Keys that somebody waits for, the longest due first. `creator`: who asked for it, where KMS has yet to make it. */
  waitedFor: Due[];
  /** Keys that are due for another reason; those that were tried before come first. */
  scheduled: Due[];
  /** Providers some of whose keys are due for nothing but a look. */
  plain: string[];
};

/** What is due, at most some hundreds of keys of each provider. */
export async function findDueKeys(services: Services): Promise<DueKeys> {
  const { database, watch } = services;
  if (watch.isHeld) await passOverDeleted(database.pool, watch.gap);
  // What was changed for all keys at once comes after what failed before: those are few, and somebody may look at them.
  const { rows: single } = await database.pool.query<Due>(
    `SELECT id, provider, is_urgent, creator FROM (
      SELECT *, row_number() OVER (PARTITION BY provider, is_urgent, creator ORDER BY is_retry DESC, due_at) AS place FROM (
        SELECT keys.id, keys.provider, due_at, (${isUrgent}) AS is_urgent, attempts > 0 AS is_retry,
          CASE WHEN ${isUnmade} AND gap_seen >= ${watch.gap} THEN coalesce((SELECT actor FROM revisions
            WHERE revisions.key_ref = keys.id AND revisions.generation = keys.generation), '') END AS creator
        FROM ${keyTables}
        WHERE ${isDue(watch)} AND (${isPlain}) IS NOT TRUE
      ) AS due
    ) AS placed
    WHERE place <= CASE WHEN creator IS NULL THEN ${foundAtOnce} ELSE ${foundToBeMade} END ORDER BY place`,
  );
  const { rows: plain } = await database.pool.query<{ provider: string }>(
    `SELECT name AS provider FROM providers
    WHERE EXISTS (SELECT 1 FROM ${keyTables} WHERE keys.provider = name AND ${isDue(watch)} AND ${isPlain})`,
  );
  return {
    waitedFor: single.filter(({ is_urgent }) => is_urgent),
    scheduled: single.filter(({ is_urgent }) => !is_urgent),
    plain: plain.map(({ provider }) => provider),
  };
}

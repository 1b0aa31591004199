/** The keys that are due, and how each is gone about. */

import type { Database } from '../../database/client.ts';
import { keyTables } from '../../database/columns.ts';
import type { Services } from '../context.ts';
import { type Gap, isDue, isPlain, isUnmade, isUrgent } from '../rows/due.ts';
import { passOverDeleted } from '../rows/gap.ts';

/** How many due keys of one provider one look finds: another provider's never wait behind them. */
const foundAtOnce = 200;
/** The same of those that KMS has yet to make, for each caller: more than are made until the next look. */
const foundToBeMade = 50;

type Due = { id: string; provider: string; is_urgent: boolean; creator: string | null; replica_of: string | null };
/** `place`: among those of one provider, urgency and creator. */
type Placed = Due & { place: number };

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
  const [usual, toBeMade] = [await findUsual(database, watch), await findToBeMade(database, watch)];
  const single = [...usual, ...toBeMade].sort((first, second) => first.place - second.place);
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

/** Of `work`: it is looked for by who asked for it. Any key that is due is among these or the others, whatever its creator says. */
const takesTurns = (gap: number) => `creator IS NOT NULL AND NOT writes_open AND gap_seen >= ${gap}`;

async function findUsual({ pool }: Pick<Database, 'pool'>, watch: Gap): Promise<Placed[]> {
  // What was changed for all keys at once comes after what failed before: those are few, and somebody may look at them.
  const { rows } = await pool.query<Placed>(
    `SELECT id, provider, is_urgent, creator, replica_of, place::int FROM (
      SELECT *, row_number() OVER (PARTITION BY provider, is_urgent, creator ORDER BY is_retry DESC, due_at) AS place FROM (
        SELECT keys.id, keys.provider, replica_of, due_at, (${isUrgent}) AS is_urgent, attempts > 0 AS is_retry,
          CASE WHEN ${isUnmade} AND gap_seen >= ${watch.gap} THEN '' END AS creator
        FROM ${keyTables}
        WHERE ${isDue(watch)} AND (${takesTurns(watch.gap)}) IS NOT TRUE AND (${isPlain}) IS NOT TRUE
      ) AS due
    ) AS placed
    WHERE place <= CASE WHEN creator IS NULL THEN ${foundAtOnce} ELSE ${foundToBeMade} END`,
  );
  return rows;
}

/** Goes from one creator to the next, and reads no more of each than it takes, however many wait. */
async function findToBeMade({ pool }: Pick<Database, 'pool'>, { gap }: Gap): Promise<Placed[]> {
  const first = (tried: string) => `(
    SELECT key_ref, creator, attempts, asked, writes_open, requested_observation, served_observation,
      row_number() OVER (ORDER BY due_at)::int AS place
    FROM work
    WHERE provider = owner.provider AND creator = owner.creator AND attempts ${tried} 0
      AND ${takesTurns(gap)} AND ${isDue({ isHeld: false, gap })}
    ORDER BY due_at LIMIT ${foundToBeMade})`;
  const { rows } = await pool.query<Placed>(
    `WITH RECURSIVE owner AS (
      (SELECT provider, creator FROM work WHERE creator IS NOT NULL ORDER BY provider, creator LIMIT 1)
      UNION ALL
      SELECT next.provider, next.creator FROM owner, LATERAL (
        SELECT provider, creator FROM work WHERE creator IS NOT NULL AND (provider, creator) > (owner.provider, owner.creator)
        ORDER BY provider, creator LIMIT 1) AS next
    )
    SELECT keys.id, keys.provider, (${isUrgent}) AS is_urgent, CASE WHEN ${isUnmade} THEN found.creator END AS creator,
      keys.replica_of, place
    FROM owner, LATERAL (${first('=')} UNION ALL ${first('>')}) AS found JOIN keys ON keys.id = found.key_ref`,
  );
  return rows;
}

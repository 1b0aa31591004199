/**
 * Removes what is kept no longer: events, revisions, the journal of KMS writes and finished work. In small batches, each a
 * transaction of its own that waits for nobody's lock; by one process at a time. What a safeguard may still ask for stays,
 * whatever the settings say, and so does whatever is younger than two days: a repeat of a request, a write without an answer
 * and a read that may be stale are over by then.
 */
import { setTimeout as delay } from 'node:timers/promises';
import type { PoolClient } from 'pg';
import type { Retention } from '../config.ts';
import { whenAlone } from '../database/advisory-lock.ts';
import { pause, removeInBatches } from '../database/batches.ts';
import { keyTables } from '../database/columns.ts';
import type { Services } from './context.ts';
import { removeEvents } from './history/log.ts';
import { removeImports } from './imports/rows/imports.ts';
import { isPlain } from './rows/due.ts';
import { removeErrands } from './rows/errands.ts';

const retentionLock = 7_318_402_620;
const batchSize = 1000;

/** The days for which everything is kept. */
const shortest = 2;
const largestGeneration = 2_147_483_647;

/** Removes what `services.retention` keeps no longer, unless another process is at it. */
export async function trimHistory({ database, retention, log }: Services): Promise<void> {
  const { work } = retention;
  await whenAlone(database.pool, retentionLock, async (client) => {
    const isStopping = () => database.pool.ending;
    const removed = {
      events: await removeInBatches(isStopping, () => removeEvents(client, retention, { batchSize, shortest })),
      revisions: await walk(isStopping, (after) => removeRevisions(client, retention, after)),
      writes: await walk(isStopping, (after) => removeWrites(client, retention, after)),
      // In this order: what a former key was rotated must not count for its successor.
      errands: work === null ? 0 : await removeInBatches(isStopping, () => removeErrands(client, work, batchSize)),
      imports: work === null ? 0 : await removeInBatches(isStopping, () => removeImports(client, work)),
      former_keys: await removeInBatches(isStopping, () => removeFormerKeys(client, retention)),
    };
    if (Object.values(removed).some((count) => count > 0)) log.info({ removed }, 'removed what is kept no longer');
  });
}

/** Where a walk through the ids of a table has come to; null: to its end. */
type Step = { removed: number; next: string | null };

/** Past rows that stay, which are not looked at twice in one run. */
async function walk(isStopping: () => boolean, removeAfter: (id: string) => Promise<Step>): Promise<number> {
  let sum = 0;
  let next: string | null = '00000000-0000-0000-0000-000000000000';
  while (next !== null && !isStopping()) {
    const step: Step = await removeAfter(next);
    sum += step.removed;
    next = step.next;
    if (step.removed > 0) await delay(pause);
  }
  return sum;
}

/**
 * The oldest generations of each key, without a gap. A key that is on record keeps the last one that KMS held and what is
 * younger: a refused change goes back to it, and drift is told by it. Of every id the last one stays: it tells that the id had
 * a life, and generations, before.
 */
async function removeRevisions(
  client: PoolClient,
  { revisions, revisionCount }: Retention,
  after: string,
): Promise<Step> {
  if (revisions === null && revisionCount === null) return { removed: 0, next: null };
  const oldestSince = (age: string) =>
    `coalesce(min(generation) FILTER (WHERE created_at >= now() - ${age}), ${largestGeneration})`;
  const { rows } = await client.query<Step & { removed: number }>(
    `WITH batch AS (SELECT DISTINCT key_ref FROM revisions WHERE key_ref > $1::uuid ORDER BY key_ref LIMIT ${keysAtOnce}),
    numbered AS (
      SELECT key_ref, generation, created_at, row_number() OVER (PARTITION BY key_ref ORDER BY generation DESC) AS place
      FROM revisions WHERE key_ref IN (SELECT key_ref FROM batch)
    ), kept AS (
      SELECT key_ref, least(
        max(generation),
        ${oldestSince(days(shortest))},
        greatest(
          CASE WHEN $2::int IS NOT NULL THEN ${oldestSince(days('$2'))} ELSE 0 END,
          CASE WHEN $3::int IS NOT NULL THEN min(generation) FILTER (WHERE place <= $3) ELSE 0 END)
      ) AS first_kept
      FROM numbered GROUP BY key_ref
    ), removed AS (
      DELETE FROM revisions WHERE (key_ref, generation) IN (
        SELECT key_ref, numbered.generation FROM numbered JOIN kept USING (key_ref) LEFT JOIN keys ON keys.id = key_ref
        WHERE numbered.generation < least(first_kept, coalesce(keys.synced_generation, ${largestGeneration}))
        ORDER BY key_ref, numbered.generation LIMIT ${batchSize})
      RETURNING 1)
    SELECT (SELECT count(*)::int FROM removed) AS removed, (SELECT key_ref FROM batch ORDER BY key_ref DESC LIMIT 1) AS next`,
    [after, revisions, revisionCount],
  );
  const { removed = 0, next = null } = rows[0] ?? {};
  // There may be more of these keys.
  return { removed, next: removed === batchSize ? after : next };
}

/** As many keys as have revisions for some batches at most, by the default. */
const keysAtOnce = 100;

/**
 * Settled writes, as long as nothing may be read off them: a key on record has to be as declared, and looked at since. What
 * CreateKey made stays for ever, since it proves whose a key is (I11), and so does what nobody knows the outcome of.
 */
async function removeWrites(client: PoolClient, { journal }: Retention, after: string): Promise<Step> {
  if (journal === null) return { removed: 0, next: null };
  const { rows } = await client.query<{ removed: number; next: string | null }>(
    `WITH batch AS (
      SELECT id, key_ref, operation, outcome, made_key_id, planned_at, finished_at
      FROM kms_writes WHERE id > $1::uuid ORDER BY id LIMIT ${batchSize}
    ), removed AS (
      DELETE FROM kms_writes WHERE id IN (
        SELECT id FROM batch AS w
        WHERE finished_at < now() - ${days('$2')} AND outcome IN ('done', 'refused', 'not_done', 'skipped')
          AND (operation NOT IN ('CreateKey', 'ReplicateKey') OR outcome <> 'done' AND made_key_id IS NULL)
          AND NOT EXISTS (SELECT 1 FROM ${keyTables} WHERE keys.id = w.key_ref AND NOT (
            (state = 'deleted' OR (${isPlain}) IS TRUE) AND work.last_observed_at > w.finished_at + interval '1 hour') IS TRUE)
          AND NOT EXISTS (SELECT 1 FROM former_keys f WHERE f.id = w.key_ref AND f.deletion = 'waiting'))
      RETURNING 1)
    SELECT (SELECT count(*)::int FROM removed) AS removed,
      (SELECT id FROM batch WHERE planned_at < now() - ${days('$2')} ORDER BY id DESC LIMIT 1) AS next`,
    [after, journal],
  );
  return rows[0] ?? { removed: 0, next: null };
}

/** Those that are known to be gone from KMS: any other, if a search met it, would be taken for the key that is looked for. */
async function removeFormerKeys(client: PoolClient, { work }: Retention): Promise<number> {
  if (work === null) return 0;
  const { rowCount } = await client.query(
    `DELETE FROM former_keys WHERE id IN (
      SELECT id FROM former_keys f WHERE deletion = 'gone' AND created_at < now() - ${days('$1')}
        AND NOT EXISTS (SELECT 1 FROM ${keyTables} WHERE keys.id = f.key_ref AND (${isPlain}) IS NOT TRUE AND state <> 'deleted')
        AND NOT EXISTS (SELECT 1 FROM errands e WHERE e.key_ref = f.key_ref AND e.settled_at <= f.created_at)
      LIMIT ${batchSize})`,
    [work],
  );
  return rowCount ?? 0;
}

function days(count: number | string): string {
  return `make_interval(days => ${count})`;
}

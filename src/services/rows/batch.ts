/** The rows of keys that are looked at together: only those in `work` are written, but for what is new. */
import type { Pool } from 'pg';
import { keyColumns, keyTables } from '../../database/columns.ts';
import type { ObservedKey } from '../../domain/types.ts';
import { type Gap, isDue, isPlain } from './due.ts';
import type { KeyRow } from './key-row.ts';

/** Seconds after which a key is due again that was passed on to a sync of its own, should that never come. */
const passedOnFor = 60;

/** A batch's keys, and the lease that it has on all of them. */
export type Leased = { keyIds: string[]; token: string };

/** A key and what had been asked of it when it was taken. */
export type Taken = Pick<KeyRow, 'id' | 'asked'>;

/** A key in which nothing differs. `observed`: null where it reads as it did before. `enforces`: as its drift policy has it. */
export type Entry = Taken & { observed: ObservedKey | null; due_at: Date; enforces: boolean };

/** Takes the leases of plain keys of a provider that are due, held ones first, then the longest due. */
export async function takePlainRows(
  pool: Pool,
  { provider, count, token, milliseconds }: { provider: string; count: number; token: string; milliseconds: number },
  gap: Gap,
): Promise<KeyRow[]> {
  const order = gap.isHeld ? `(gap_seen < ${gap.gap}) DESC, due_at` : 'due_at';
  const { rows: taken } = await pool.query<{ key_ref: string }>({
    name: gap.isHeld ? `take_plain_${gap.gap}` : 'take_plain',
    text: `
      UPDATE work SET lease_token = $3::uuid, lease_until = now() + $4 * interval '1 millisecond'
      WHERE key_ref IN (
        SELECT work.key_ref FROM work JOIN keys ON keys.id = work.key_ref
        WHERE work.provider = $1 AND ${isDue(gap)} AND ${isPlain} ORDER BY ${order} LIMIT $2 FOR UPDATE OF work SKIP LOCKED)
      RETURNING key_ref`,
    values: [provider, count, token, milliseconds],
  });
  if (taken.length === 0) return [];
  // Read afterwards: the statement above saw what was declared before it had the rows.
  const { rows } = await pool.query<KeyRow & { is_plain: boolean | null }>({
    name: 'read_taken',
    text: `SELECT ${keyColumns}, (${isPlain}) AS is_plain FROM ${keyTables} WHERE keys.id = ANY($1::uuid[])`,
    values: [taken.map(({ key_ref }) => key_ref)],
  });
  const [plain, others] = [rows.filter(({ is_plain }) => is_plain), rows.filter(({ is_plain }) => !is_plain)];
  // Somebody has just asked something of these: they are due.
  if (others.length > 0) await giveLeasesBack(pool, token, others, { passedOn: false });
  return plain.map(({ is_plain: _isPlain, ...row }) => row);
}

/**
 * Records what was seen of keys of which nobody has asked anything meanwhile, and gives their leases back.
 * @param at when they were looked at. @param gap the number of the last gap when they were taken.
 * @returns the ids of the keys that this was recorded of.
 */
export async function recordUnchanged(
  pool: Pool,
  token: string,
  entries: Entry[],
  { at, gap }: { at: Date; gap: number },
): Promise<string[]> {
  const { rows } = await pool.query<{ key_ref: string }>({
    name: 'record_unchanged',
    // In the order of their ids, as a change of a provider's tags locks them: neither waits for the other in a circle.
    text: `WITH held AS MATERIALIZED (
        SELECT key_ref FROM work WHERE key_ref = ANY($4::uuid[]) ORDER BY key_ref FOR NO KEY UPDATE
      ), entry AS MATERIALIZED (
        SELECT * FROM json_to_recordset($1::json) AS entry (id uuid, asked int, observed json, due_at timestamptz, enforces boolean)
      ), recorded AS (
        UPDATE work SET
          last_observed_at = $3, due_at = entry.due_at, status_version = status_version + 1,
          gap_seen = greatest(gap_seen, $5), gap_checked = greatest(gap_checked, $5),
          last_synced_at = CASE WHEN entry.enforces THEN $3 ELSE last_synced_at END,
          lease_token = NULL, lease_until = NULL
        FROM entry JOIN held ON held.key_ref = entry.id
        WHERE work.key_ref = entry.id AND work.lease_token = $2::uuid AND work.asked = entry.asked
        RETURNING work.key_ref
      ), renewed AS (
        UPDATE keys SET gap_found = NULL, observed = coalesce(entry.observed, keys.observed),
          key_state = coalesce(entry.observed ->> 'key_state', key_state)
        FROM entry JOIN recorded ON recorded.key_ref = entry.id
        WHERE keys.id = entry.id AND (entry.observed IS NOT NULL OR gap_found IS NOT NULL)
      )
      SELECT key_ref FROM recorded`,
    values: [JSON.stringify(entries), token, at, entries.map(({ id }) => id), gap],
  });
  return rows.map(({ key_ref }) => key_ref);
}

/**
 * Gives leases back.
 * @param passedOn whether each key gets a sync of its own: it is due again in a while in case that never comes.
 * @returns for each key, whether somebody asked something of it meanwhile.
 */
export async function giveLeasesBack(
  pool: Pool,
  token: string,
  keys: Taken[],
  { passedOn }: { passedOn: boolean },
): Promise<{ id: string; isAskedFor: boolean }[]> {
  const { rows } = await pool.query<{ id: string; isAskedFor: boolean }>(
    `UPDATE work SET lease_token = NULL, lease_until = NULL,
      due_at = CASE WHEN $3 AND work.asked = entry.asked THEN now() + ${passedOnFor} * interval '1 second' ELSE due_at END
    FROM json_to_recordset($1::json) AS entry (id uuid, asked int)
    WHERE work.key_ref = entry.id AND work.lease_token = $2::uuid
    RETURNING work.key_ref AS id, work.asked <> entry.asked AS "isAskedFor"`,
    [JSON.stringify(keys.map(({ id, asked }) => ({ id, asked }))), token, passedOn],
  );
  return rows;
}

/** Renews the leases of a batch. */
export async function renewLeases(pool: Pool, { keyIds, token }: Leased, milliseconds: number): Promise<void> {
  await pool.query(
    `UPDATE work SET lease_until = now() + $3 * interval '1 millisecond' WHERE key_ref = ANY($1::uuid[]) AND lease_token = $2::uuid`,
    [keyIds, token, milliseconds],
  );
}

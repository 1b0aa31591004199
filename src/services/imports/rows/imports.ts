/** The rows of imports: every statement that writes them, with their keys where both change together. */
import type { Pool } from 'pg';
import { Prisma, type Transaction } from '../../../database/client.ts';
import type { DeclaredKey } from '../../../domain/arguments.ts';
import type { ImportFilters } from '../../../domain/imports.ts';
import type { Subject } from '../../access/directory.ts';

/** An import, as it is worked on. */
export type ImportRow = {
  id: string;
  kind: 'key_ids' | 'all' | 'terraform_state';
  provider: string | null;
  filters: ImportFilters | null;
  drift_policy: DeclaredKey['drift_policy'] | null;
  dry_run: boolean;
  state: string;
  is_listed: boolean;
  marker: string | null;
  attempts: number;
  actor: string;
  principal: string;
  subject: Subject | null;
  on_behalf_of: string | null;
  address: string | null;
  user_agent: string | null;
  request_id: string;
};

export const importColumns = `id, kind, provider, filters, drift_policy, dry_run, state, is_listed, marker, attempts, actor, principal,
  subject, on_behalf_of, address, user_agent, request_id`;

/** Seconds: nothing is tried again later. */
export const longestPause = 60;

/**
 * As long as keys are held for a gap, an import of before waits as they do: it may have been ended, or carried out, in the time that
 * was lost.
 */
export function goesOn(isHeld: boolean): string {
  return isHeld ? "state = 'running' AND started_at > (SELECT since FROM installation)" : "state = 'running'";
}

/** Whether any import has something left to do. */
export async function isAnyRunning(pool: Pool): Promise<boolean> {
  const { rows } = await pool.query<{ found: boolean }>(
    "SELECT EXISTS (SELECT 1 FROM imports WHERE state = 'running') AS found",
  );
  return rows[0]?.found === true;
}

/** Takes the finding of an import's keys, unless another process is at it. @param isHeld whether keys are held for a gap. */
export async function takeListing(
  pool: Pool,
  { token, milliseconds, isHeld }: { token: string; milliseconds: number; isHeld: boolean },
): Promise<ImportRow | null> {
  const { rows } = await pool.query<ImportRow>(
    `UPDATE imports SET lease_token = $1::uuid, lease_until = now() + $2 * interval '1 millisecond'
    WHERE id = (
      SELECT id FROM imports WHERE ${goesOn(isHeld)} AND NOT is_listed AND due_at <= now()
        AND (lease_until IS NULL OR lease_until < now()) ORDER BY id LIMIT 1 FOR UPDATE SKIP LOCKED)
    RETURNING ${importColumns}`,
    [token, milliseconds],
  );
  return rows[0] ?? null;
}

/** Keeps the finding of keys. */
export async function renewListing(pool: Pool, token: string, milliseconds: number): Promise<void> {
  await pool.query(
    `UPDATE imports SET lease_until = now() + $2 * interval '1 millisecond' WHERE lease_token = $1::uuid`,
    [token, milliseconds],
  );
}

/** How far the finding of keys has come. `marker`: where to go on; null: all have been found. */
export async function recordListing(
  transaction: Transaction,
  { id, token, marker }: { id: string; token: string; marker: string | null },
): Promise<boolean> {
  const count = await transaction.$executeRaw`
    UPDATE imports SET marker = ${marker}, is_listed = ${marker === null}, attempts = 0, error = NULL,
      lease_token = CASE WHEN ${marker === null} THEN NULL ELSE lease_token END,
      lease_until = CASE WHEN ${marker === null} THEN NULL ELSE lease_until END
    WHERE id = ${id}::uuid AND lease_token = ${token}::uuid AND state = 'running'`;
  return count > 0;
}

/** Keys could not be found: it is tried again, from the first where the place was no good. */
export async function postponeListing(
  pool: Pool,
  {
    id,
    token,
    error,
    seconds,
    marker,
  }: {
    id: string;
    token: string;
    error: { code: string; message: string };
    seconds: number;
    marker: string | null;
  },
): Promise<void> {
  await pool.query(
    `UPDATE imports SET error = $3::json, attempts = attempts + 1, due_at = now() + $4 * interval '1 second', marker = $5,
      lease_token = NULL, lease_until = NULL
    WHERE id = $1::uuid AND lease_token = $2::uuid`,
    [id, token, JSON.stringify(error), seconds, marker],
  );
}

/** Imports of which nothing is left to do. */
export async function findDone(pool: Pool): Promise<string[]> {
  const { rows } = await pool.query<{ id: string }>(
    `SELECT id FROM imports WHERE state = 'running' AND is_listed
      AND NOT EXISTS (SELECT 1 FROM import_items WHERE import_id = imports.id AND outcome = 'waiting')`,
  );
  return rows.map(({ id }) => id);
}

/** Holds an import until the transaction ends. @returns whether it is going on. */
export async function holdRunning(transaction: Transaction, importId: string): Promise<boolean> {
  const held = await transaction.$executeRaw`
    SELECT 1 FROM imports WHERE id = ${importId}::uuid AND state = 'running' FOR SHARE`;
  return held > 0;
}

/** Ends an import of which nothing is left to do. @returns it, if it has ended now. */
export async function endIfDone(transaction: Transaction, importId: string): Promise<ImportRow | null> {
  const [ended] = await transaction.$queryRaw<ImportRow[]>`
    UPDATE imports SET state = 'done', finished_at = now()
    WHERE id = ${importId}::uuid AND state = 'running' AND is_listed
      AND NOT EXISTS (SELECT 1 FROM import_items WHERE import_id = ${importId}::uuid AND outcome = 'waiting')
    RETURNING ${Prisma.raw(importColumns)}`;
  return ended ?? null;
}

/** Why an import goes no further, or not now. */
export type ImportError = { code: string; message: string };

/** Ends an import before its end: what waits is not imported. @returns it; null: it was over. */
export async function endEarly(
  transaction: Transaction,
  importId: string,
  { state, error }: { state: 'cancelled' | 'failed'; error: ImportError | null },
): Promise<ImportRow | null> {
  const why = error === null ? null : JSON.stringify(error);
  const [ended] = await transaction.$queryRaw<ImportRow[]>`
    UPDATE imports SET state = ${state}, finished_at = now(), error = ${why}::json, lease_token = NULL, lease_until = NULL
    WHERE id = ${importId}::uuid AND state = 'running' RETURNING ${Prisma.raw(importColumns)}`;
  if (ended === undefined) return null;
  const reason = JSON.stringify({ code: 'cancelled', detail: 'The import ended before its turn came.' });
  await transaction.$executeRaw`
    UPDATE import_items SET outcome = 'skipped', reason = ${reason}::json, settled_at = now(), lease_token = NULL,
      lease_until = NULL
    WHERE import_id = ${importId}::uuid AND outcome = 'waiting'`;
  return ended;
}

/** After PostgreSQL's clock was set back: no lease, of so many milliseconds, and no pause lasts longer than one from now on. */
export async function shortenImports(client: Pick<Pool, 'query'>, lease: number): Promise<void> {
  const columns = `lease_until = least(lease_until, now() + $1::float8 * interval '1 millisecond'),
    due_at = least(due_at, now() + ${longestPause} * interval '1 second')`;
  await client.query(`UPDATE imports SET ${columns} WHERE state = 'running'`, [lease]);
  await client.query(
    `UPDATE import_items SET ${columns}
    WHERE import_id IN (SELECT id FROM imports WHERE state = 'running') AND outcome = 'waiting'
      AND (due_at > now() OR lease_until > now())`,
    [lease],
  );
}

/** Removes imports that were over so many days ago, with what is known of their keys. @returns how many; 0: there are none left. */
export async function removeImports(client: Pick<Pool, 'query'>, days: number): Promise<number> {
  const { rowCount } = await client.query(
    `DELETE FROM imports WHERE id IN (
      SELECT id FROM imports WHERE finished_at < now() - make_interval(days => $1) ORDER BY finished_at LIMIT 10)`,
    [days],
  );
  return rowCount ?? 0;
}

/** The keys of imports: every statement that writes their rows alone. */
import type { Pool } from 'pg';
import type { Transaction } from '../../../database/client.ts';
import type { ImportOutcome, ImportReasonCode } from '../../../domain/imports.ts';
import type { StatedKey } from '../../../domain/terraform-state.ts';
import type { Difference } from '../../../domain/types.ts';
import { goesOn, type ImportRow, importColumns } from './imports.ts';

/** Why a key has not been imported. */
export type Reason = { code: ImportReasonCode; detail: string };

/** A key that an import has found. `position`: its place among them. */
export type Candidate = {
  position: number;
  source: string;
  provider?: string | null;
  arn?: string | null;
  stated?: StatedKey | null;
  outcome?: Exclude<ImportOutcome, 'waiting'>;
  reason?: Reason;
  key_ref?: string;
};

/** A key whose turn has come. */
export type ItemRow = {
  import_id: string;
  position: number;
  source: string;
  arn: string | null;
  stated: StatedKey | null;
  attempts: number;
};

/** What became of a key. `retryAfter`: seconds from now, where it is tried again. */
export type Settled = {
  position: number;
  outcome: ImportOutcome;
  arn?: string | null;
  reason?: Reason | null;
  key_ref?: string | null;
  declared?: object | null;
  differences?: Difference[] | null;
  retryAfter?: number | null;
};

const rowsAtOnce = 500;

/** Puts keys on record that an import has found. */
export async function insertItems(
  transaction: Pick<Transaction, '$executeRaw'>,
  importId: string,
  candidates: readonly Candidate[],
): Promise<void> {
  for (let start = 0; start < candidates.length; start += rowsAtOnce) {
    const entries = JSON.stringify(candidates.slice(start, start + rowsAtOnce));
    await transaction.$executeRaw`
      INSERT INTO import_items (import_id, position, source, provider, arn, stated, outcome, reason, key_ref, settled_at)
      SELECT ${importId}::uuid, position, source, provider, arn, stated, coalesce(outcome, 'waiting'), reason, key_ref,
        CASE WHEN outcome IS NOT NULL THEN now() END
      FROM json_to_recordset(${entries}::json) AS entry (position int, source text, provider text, arn text, stated json,
        outcome text, reason json, key_ref uuid)`;
  }
}

/** Those of the ARNs that the import has found already, and the place after its last key. */
export async function foundBefore(
  transaction: Transaction,
  importId: string,
  arns: string[],
): Promise<{ arns: Set<string>; next: number }> {
  const found = await transaction.$queryRaw<{ arn: string }[]>`
    SELECT arn FROM import_items WHERE import_id = ${importId}::uuid AND arn = ANY(${arns}::text[])`;
  const [last] = await transaction.$queryRaw<{ next: number }[]>`
    SELECT coalesce(max(position) + 1, 0) AS next FROM import_items WHERE import_id = ${importId}::uuid`;
  return { arns: new Set(found.map(({ arn }) => arn)), next: last?.next ?? 0 };
}

/** Where the keys are whose provider is not known yet, by the ARNs that name them. */
export async function placesOf(
  pool: Pool,
  importId: string,
): Promise<{ partition: string; region: string; account: string }[]> {
  const { rows } = await pool.query(
    `SELECT DISTINCT split_part(name, ':', 2) AS partition, split_part(name, ':', 4) AS region, split_part(name, ':', 5) AS account
    FROM (SELECT coalesce(arn, source) AS name FROM import_items
      WHERE import_id = $1 AND provider IS NULL AND outcome = 'waiting') AS named`,
    [importId],
  );
  return rows;
}

/** Gives the keys of a place their provider, or says why they have none. */
export async function recordProvider(
  transaction: Transaction,
  importId: string,
  { partition, region, account }: { partition: string; region: string; account: string },
  { provider, reason }: ({ provider: string } & { reason?: never }) | { provider?: never; reason: Reason },
): Promise<void> {
  const why = reason === undefined ? null : JSON.stringify(reason);
  await transaction.$executeRaw`
    UPDATE import_items SET provider = ${provider ?? null}, reason = ${why}::json,
      outcome = CASE WHEN ${why}::text IS NULL THEN outcome ELSE 'failed' END,
      settled_at = CASE WHEN ${why}::text IS NULL THEN NULL ELSE now() END
    WHERE import_id = ${importId}::uuid AND provider IS NULL AND outcome = 'waiting'
      AND split_part(coalesce(arn, source), ':', 2) = ${partition}
      AND split_part(coalesce(arn, source), ':', 4) = ${region}
      AND split_part(coalesce(arn, source), ':', 5) = ${account}`;
}

const isDue = `outcome = 'waiting' AND item.due_at <= now() AND (item.lease_until IS NULL OR item.lease_until < now())`;

/** Which imports have keys whose turn has come, at which providers. @param isHeld whether keys are held for a gap. */
export async function findDue(pool: Pool, isHeld: boolean): Promise<{ import_id: string; provider: string }[]> {
  const { rows } = await pool.query<{ import_id: string; provider: string }>(
    `SELECT DISTINCT item.import_id, item.provider FROM imports JOIN import_items AS item ON item.import_id = imports.id
    WHERE ${goesOn(isHeld)} AND item.provider IS NOT NULL AND ${isDue}`,
  );
  return rows;
}

/** Takes keys of an import whose turn has come, with the import as it is. */
export async function takeItems(
  pool: Pool,
  wanted: { importId: string; provider: string; count: number; token: string; milliseconds: number; isHeld: boolean },
): Promise<{ row: ImportRow; items: ItemRow[] } | null> {
  const { rows: items } = await pool.query<ItemRow>({
    name: wanted.isHeld ? 'take_import_items_held' : 'take_import_items',
    text: `
      UPDATE import_items SET lease_token = $4::uuid, lease_until = now() + $5 * interval '1 millisecond'
      WHERE import_id = $1::uuid AND position IN (
        SELECT position FROM import_items AS item
        WHERE import_id = $1::uuid AND provider = $2 AND ${isDue}
          AND EXISTS (SELECT 1 FROM imports WHERE id = $1::uuid AND ${goesOn(wanted.isHeld)})
        ORDER BY position LIMIT $3 FOR UPDATE SKIP LOCKED)
      RETURNING import_id, position, source, arn, stated, attempts`,
    values: [wanted.importId, wanted.provider, wanted.count, wanted.token, wanted.milliseconds],
  });
  if (items.length === 0) return null;
  const { rows } = await pool.query<ImportRow>(`SELECT ${importColumns} FROM imports WHERE id = $1::uuid`, [
    wanted.importId,
  ]);
  return rows[0] === undefined ? null : { row: rows[0], items };
}

/** Keeps keys that were taken. */
export async function renewItems(pool: Pool, importId: string, token: string, milliseconds: number): Promise<void> {
  await pool.query(
    `UPDATE import_items SET lease_until = now() + $3 * interval '1 millisecond'
    WHERE import_id = $1::uuid AND lease_token = $2::uuid AND outcome = 'waiting'`,
    [importId, token, milliseconds],
  );
}

/** Gives back keys that were taken and not dealt with. */
export async function giveItemsBack(pool: Pool, importId: string, token: string): Promise<void> {
  await pool.query(
    `UPDATE import_items SET lease_token = NULL, lease_until = NULL
    WHERE import_id = $1::uuid AND lease_token = $2::uuid AND outcome = 'waiting'`,
    [importId, token],
  );
}

/** Records what became of keys that were taken. @returns of how many: the others are somebody else's by now. */
export async function recordOutcomes(
  transaction: Pick<Transaction, '$executeRaw'>,
  { importId, token }: { importId: string; token: string },
  settled: readonly Settled[],
): Promise<number> {
  return transaction.$executeRaw`
    UPDATE import_items AS item SET outcome = entry.outcome, arn = coalesce(entry.arn, item.arn), reason = entry.reason,
      key_ref = entry.key_ref, declared = entry.declared, differences = entry.differences,
      attempts = item.attempts + CASE WHEN entry."retryAfter" IS NULL THEN 0 ELSE 1 END,
      due_at = now() + coalesce(entry."retryAfter", 0) * interval '1 second',
      settled_at = CASE WHEN entry.outcome = 'waiting' THEN NULL ELSE now() END, lease_token = NULL, lease_until = NULL
    FROM json_to_recordset(${JSON.stringify(settled)}::json) AS entry (position int, outcome text, arn text, reason json,
      key_ref uuid, declared json, differences json, "retryAfter" float8)
    WHERE item.import_id = ${importId}::uuid AND item.position = entry.position AND item.lease_token = ${token}::uuid
      AND item.outcome = 'waiting'`;
}

/** Removes keys that whoever asked may not know of. */
export async function removeItems(pool: Pool, importId: string, token: string, positions: number[]): Promise<void> {
  await pool.query(
    'DELETE FROM import_items WHERE import_id = $1::uuid AND lease_token = $2::uuid AND position = ANY($3::int[])',
    [importId, token, positions],
  );
}

/** Of a dry run, in which nothing is recorded: the later names of a key that has several find it managed. */
export async function settleDoubles(transaction: Transaction, importId: string): Promise<void> {
  const reason = JSON.stringify({ code: 'already_managed', detail: 'An earlier one names the same key.' });
  await transaction.$executeRaw`
    UPDATE import_items SET outcome = 'already_managed', reason = ${reason}::json, declared = NULL, differences = NULL
    WHERE import_id = ${importId}::uuid AND outcome = 'imported' AND (arn, position) NOT IN (
      SELECT arn, min(position) FROM import_items
      WHERE import_id = ${importId}::uuid AND outcome = 'imported' GROUP BY arn)`;
}

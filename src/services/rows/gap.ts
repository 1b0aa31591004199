/** The columns that tell whether a key is held back by a gap in the database's time. */
import type { Pool } from 'pg';
import { Prisma, type Transaction } from '../../database/client.ts';
import { keyTables } from '../../database/columns.ts';
import type { KeyRow } from './key-row.ts';
import { findRows } from './read.ts';

/** What somebody asks for by name is no longer held. @param gap the number of the last gap. */
export function decidedOn(gap: number) {
  return { gap_seen: gap, gap_checked: gap, gap_found: Prisma.DbNull };
}

/** What KMS has deleted does not come back: there is nothing to hold. */
export async function passOverDeleted(pool: Pool, gap: number): Promise<void> {
  await pool.query(
    `UPDATE work SET gap_seen = $1, gap_checked = $1 FROM keys
    WHERE keys.id = work.key_ref AND gap_seen < $1 AND state = 'deleted' AND lease_token IS NULL`,
    [gap],
  );
}

type Reader = Pick<Transaction, '$queryRaw'>;

const among = (ids: string[] | null) => (ids === null ? Prisma.empty : Prisma.sql`AND keys.id = ANY(${ids}::uuid[])`);

/**
 * Keys that were compared with KMS and are held, in the order of their ids.
 * @param ids only these; null: of all. @param after the id of the last one before; undefined: from the first on.
 */
export function findHeldRows(
  transaction: Reader,
  ids: string[] | null,
  { gap, after, count }: { gap: number; after: string | undefined; count: number },
): Promise<KeyRow[]> {
  const further = after === undefined ? Prisma.empty : Prisma.sql`AND keys.id > ${after}::uuid`;
  const held = Prisma.sql`gap_seen < ${gap} AND gap_checked >= ${gap} AND state <> 'deleted'`;
  return findRows(transaction, Prisma.sql`WHERE ${held} ${among(ids)} ${further} ORDER BY keys.id LIMIT ${count}`);
}

/** How many keys, of these or of all, have not been compared with KMS yet. */
export async function countUnchecked(transaction: Reader, ids: string[] | null, gap: number): Promise<number> {
  const [row] = await transaction.$queryRaw<{ count: number }[]>`
    SELECT count(*)::int AS count FROM ${Prisma.raw(keyTables)}
    WHERE gap_seen < ${gap} AND gap_checked < ${gap} AND state <> 'deleted' ${among(ids)}`;
  return row?.count ?? 0;
}

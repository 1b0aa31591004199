/** Pages of what is numbered, newest first. */
import type { PageQuery } from '../../schemas/history.ts';
import { decodeCursor, encodeCursor, unknownCursor } from '../cursors.ts';

const standardLimit = 50;
/** The most that a bigint of PostgreSQL holds. */
const highest = 2n ** 63n - 1n;

export type Page<Item> = { items: Item[]; nextCursor: string | null };

/**
 * Reads one page. What comes later has a higher number, so that a page stays the same however much is added.
 * @param list what is paged, in words.
 * @param fetch reads up to `limit` rows with a number below `below` (null: from the newest), highest first.
 * @throws ProblemError malformed-request for a cursor that no page gave.
 */
export async function readPage<Row>(
  list: string,
  query: PageQuery,
  numberOf: (row: Row) => bigint | number,
  fetch: (limit: number, below: bigint | null) => Promise<Row[]>,
): Promise<Page<Row>> {
  const limit = query.limit ?? standardLimit;
  const rows = await fetch(limit + 1, query.cursor === undefined ? null : numberIn(list, query.cursor));
  const items = rows.slice(0, limit);
  const last = items.at(-1);
  const nextCursor = rows.length > limit && last !== undefined ? encodeCursor(list, `before ${numberOf(last)}`) : null;
  return { items, nextCursor };
}

function numberIn(list: string, cursor: string): bigint {
  const number = BigInt(decodeCursor(cursor, list, /^before \d{1,19}$/).slice('before '.length));
  if (number <= highest) return number;
  throw unknownCursor(list);
}

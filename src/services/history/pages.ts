/** Pages of what is numbered, newest first. */
import { unstorableText } from '../../domain/text.ts';
import type { PageQuery } from '../../schemas/history.ts';
import { decodeCursor, encodeCursor, unknownCursor } from '../cursors.ts';
import { ProblemError } from '../problems.ts';

const standardLimit = 50;
const thisList = 'this list';
/** The most that a bigint of PostgreSQL holds. */
const highest = 2n ** 63n - 1n;

export type Page<Item> = { items: Item[]; nextCursor: string | null };

/**
 * Reads one page. What comes later has a higher number, so that a page stays the same however much is added.
 * @param fetch reads up to `limit` rows with a number below `below` (null: from the newest), highest first.
 * @throws ProblemError malformed-request for a cursor that no page gave.
 */
export async function readPage<Row>(
  query: PageQuery,
  numberOf: (row: Row) => bigint | number,
  fetch: (limit: number, below: bigint | null) => Promise<Row[]>,
): Promise<Page<Row>> {
  const limit = query.limit ?? standardLimit;
  const rows = await fetch(limit + 1, query.cursor === undefined ? null : numberIn(query.cursor));
  const items = rows.slice(0, limit);
  const last = items.at(-1);
  const nextCursor = rows.length > limit && last !== undefined ? encodeCursor(`before ${numberOf(last)}`) : null;
  return { items, nextCursor };
}

/** PostgreSQL refuses a statement with such a text in it. @throws ProblemError malformed-request */
export function assertStorable(name: string, value: string | undefined): void {
  if (value === undefined || !unstorableText(value)) return;
  throw new ProblemError('malformed-request', `${name}: the value has a character in it that is not text.`);
}

function numberIn(cursor: string): bigint {
  const number = BigInt(decodeCursor(cursor, thisList, /^before \d{1,19}$/).slice('before '.length));
  if (number <= highest) return number;
  throw unknownCursor(thisList);
}

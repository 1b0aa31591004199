/** Cursors: where the next page of a list begins, as a text that says nothing to its bearer. */
import { ProblemError } from './problems.ts';

/**
 * @param list what the page is of, in words; another list does not take the cursor.
 * @param place where the next page begins, in the list's own words.
 */
export function encodeCursor(list: string, place: string): string {
  return Buffer.from(`${list}\n${place}`).toString('base64url');
}

/**
 * The place that a page's next_cursor has in it.
 * @param form of every place of the list; any text by default.
 * @throws ProblemError malformed-request for a cursor that no page of the list gave.
 */
export function decodeCursor(cursor: string, list: string, form = /./s): string {
  const text = Buffer.from(cursor, 'base64url').toString();
  const place = text.slice(list.length + 1);
  if (form.test(place) && encodeCursor(list, place) === cursor) return place;
  throw unknownCursor(list);
}

/** Any text that PostgreSQL takes. */
export const anyName = /^[^\0]+$/;
export const uuidForm = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;

const standardLimit = 50;

/**
 * One page of a list that is read in order.
 * @param list what it is of, in words.
 * @param form of what tells where an item is.
 * @param read up to `take` items that come after that one; null: from the first.
 * @throws ProblemError malformed-request for a cursor that no page gave.
 */
export async function pageAfter<Item>(
  { list, form, placeOf }: { list: string; form: RegExp; placeOf: (item: Item) => string },
  query: { limit?: number; cursor?: string },
  read: (after: string | null, take: number) => Promise<Item[]>,
): Promise<{ items: Item[]; next_cursor: string | null }> {
  const limit = query.limit ?? standardLimit;
  const after = query.cursor === undefined ? null : decodeCursor(query.cursor, list, form);
  const found = await read(after, limit + 1);
  const items = found.slice(0, limit);
  const last = items.at(-1);
  const isMore = found.length > limit && last !== undefined;
  return { items, next_cursor: isMore ? encodeCursor(list, placeOf(last)) : null };
}

export function unknownCursor(list: string): ProblemError {
  const detail = `This is not a next_cursor that a page of ${list} gave.`;
  return new ProblemError('malformed-request', `cursor: ${detail}`, {
    errors: [{ parameter: 'cursor', code: 'invalid_value', detail }],
  });
}

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

export function unknownCursor(list: string): ProblemError {
  const detail = `This is not a next_cursor that a page of ${list} gave.`;
  return new ProblemError('malformed-request', `cursor: ${detail}`, {
    errors: [{ parameter: 'cursor', code: 'invalid_value', detail }],
  });
}

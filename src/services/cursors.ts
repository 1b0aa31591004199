/** Cursors: where the next page of a list begins, as a text that says nothing to its bearer. */
import { ProblemError } from './problems.ts';

/** @param place where the next page begins, in the list's own words. */
export function encodeCursor(place: string): string {
  return Buffer.from(place).toString('base64url');
}

/**
 * The place that a page's next_cursor has in it.
 * @param list what the page is of, for the error.
 * @param form of every place of the list; any text by default.
 * @throws ProblemError malformed-request for a cursor that no page gave.
 */
export function decodeCursor(cursor: string, list: string, form = /./s): string {
  const place = Buffer.from(cursor, 'base64url').toString();
  if (form.test(place) && encodeCursor(place) === cursor) return place;
  throw unknownCursor(list);
}

export function unknownCursor(list: string): ProblemError {
  return new ProblemError('malformed-request', `cursor: this is not a next_cursor that a page of ${list} gave.`);
}

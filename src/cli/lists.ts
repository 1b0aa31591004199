/** Lists, page by page. */
import { InvalidArgumentError } from 'commander';
import { type Column, printJson, printTable, say } from './print.ts';
import type { Session } from './session.ts';

type Page<Item> = { items: Item[]; next_cursor: string | null };

/** The most that the API gives at once. */
const largestPage = 200;

/** Rows on a terminal where nobody asked for more. */
const screenful = 100;

export function positiveNumber(text: string): number {
  const number = Number(text);
  if (!Number.isSafeInteger(number) || number < 1) throw new InvalidArgumentError('It is a whole number, 1 or more.');
  return number;
}

/** A page of a list, from a cursor on. */
export type ReadPage<Item> = (query: { limit: number; cursor?: string }) => Promise<Page<Item>>;

/** Everything in a list, up to `limit`; tells whether there is more. */
export async function readList<Item>(
  read: ReadPage<Item>,
  limit: number,
  take: (items: Item[]) => void,
): Promise<boolean> {
  let cursor: string | undefined;
  for (let left = limit; left > 0; ) {
    const page = await read({ limit: Math.min(left, largestPage), ...(cursor === undefined ? {} : { cursor }) });
    take(page.items);
    left -= page.items.length;
    if (page.next_cursor === null) return false;
    cursor = page.next_cursor;
  }
  return true;
}

/** Prints a list: a table of a screenful, or each item as a line of JSON. */
export async function printList<Item>(
  session: Session,
  read: ReadPage<Item>,
  { columns, limit, none }: { columns: Column<Item>[]; limit: number | undefined; none: string },
): Promise<Item[]> {
  const { io, json } = session;
  const items: Item[] = [];
  const hasMore = await readList(read, limit ?? (json ? Number.POSITIVE_INFINITY : screenful), (page) => {
    items.push(...page);
    if (json) for (const item of page) printJson(io, item);
  });
  if (json) return items;
  if (items.length === 0) say(io, none);
  else printTable(io, columns, items);
  if (hasMore && limit === undefined)
    say(io, `There are more than these ${items.length}: --limit says how many to show.`);
  return items;
}

/** The orders of a list of keys, each with ids to break ties, so that a page begins exactly where the one before ended. */
import { Prisma } from '../../database/client.ts';
import { type KeySort, keySorts } from '../../schemas/key-list.ts';
import { decodeCursor, encodeCursor } from '../cursors.ts';
import type { KeyRow } from '../rows/key-row.ts';

type Column = {
  expression: string;
  type: string;
  /** Of a place in a cursor: whatever has it must be one that the database takes. */
  form: string;
  of(row: KeyRow): string;
  valueIn?(place: string): Date;
};

/** In milliseconds since the epoch. */
const ofTime = {
  type: 'timestamptz',
  form: String.raw`\d{1,14}`,
  valueIn: (place: string) => new Date(Number(place)),
};
/** What goes into a cursor of a description, in characters. */
const longestText = 100;

/** By the code points of texts, whatever the language of the database is. */
const columns: Record<(typeof keySorts)[number], Column> = {
  created_at: {
    expression: 'keys.created_at',
    ...ofTime,
    of: ({ created_at }) => String(created_at.getTime()),
  },
  updated_at: {
    expression: 'keys.updated_at',
    ...ofTime,
    of: ({ updated_at }) => String(updated_at.getTime()),
  },
  description: {
    expression: `lower(left(keys.description, ${longestText}) COLLATE "C") COLLATE "C"`,
    type: 'text',
    form: '[^\0]*',
    of: ({ description }) => asciiLower([...description].slice(0, longestText).join('')),
  },
  state: { expression: 'keys.state COLLATE "C"', type: 'text', form: '[a-z_]+', of: ({ state }) => state },
};

const uuid = '[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}';

/** What PostgreSQL's lower() does in the collation C. */
function asciiLower(text: string): string {
  return text.replaceAll(/[A-Z]/g, (letter) => letter.toLowerCase());
}

/** An order, and where its pages begin. */
export type Order = {
  by: Prisma.Sql;
  /** What holds for the keys after the cursor. @throws ProblemError malformed-request for one of another list. */
  after(cursor: string): Prisma.Sql;
  cursorOf(row: KeyRow): string;
};

export function orderBy(sort: KeySort): Order {
  const isDescending = sort.startsWith('-');
  const name = keySorts.find((one) => one === sort.replace('-', '')) ?? 'created_at';
  const { expression, type, form, of, valueIn = String } = columns[name];
  const [direction, comparison] = isDescending ? ['DESC', '<'] : ['ASC', '>'];
  const list = `keys by ${sort}`;
  return {
    by: Prisma.raw(`${expression} ${direction}, keys.id ${direction}`),
    after: (cursor) => {
      const place = decodeCursor(cursor, list, new RegExp(`^${uuid} ${form}$`, 's'));
      const [id, value] = [place.slice(0, 36), valueIn(place.slice(37))];
      return Prisma.sql`(${Prisma.raw(expression)}, keys.id) ${Prisma.raw(comparison)} (${value}::${Prisma.raw(type)}, ${id}::uuid)`;
    },
    cursorOf: (row) => encodeCursor(list, `${row.id} ${of(row)}`),
  };
}

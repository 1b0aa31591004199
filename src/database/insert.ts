/** Inserts of many rows in one statement, whose text is the same for any number of them. */
import type { Transaction } from './client.ts';

/**
 * Inserts rows; columns that they do not name get their default.
 * @param rows values as JSON has them, dates, and null for SQL NULL; all of the same columns.
 * @param key columns of a unique index: a row that is there already gets the other columns' values.
 */
export async function insertAll(
  transaction: Pick<Transaction, '$executeRawUnsafe'>,
  table: string,
  rows: readonly object[],
  key: readonly string[] = [],
): Promise<void> {
  if (rows.length === 0) return;
  await transaction.$executeRawUnsafe(insertion(table, rows, '$1', key), JSON.stringify(rows));
}

/** The statement of it, or a part of one that does more. @param parameter the one that is the rows as JSON. */
export function insertion(
  table: string,
  [first = {}]: readonly object[],
  parameter: string,
  key: readonly string[] = [],
): string {
  const names = Object.keys(first);
  const columns = names.join(', ');
  const values = `SELECT ${columns} FROM json_populate_recordset(NULL::${table}, ${parameter}::json)`;
  const updated = names.filter((name) => !key.includes(name)).map((name) => `${name} = excluded.${name}`);
  const onConflict = key.length === 0 ? '' : ` ON CONFLICT (${key.join(', ')}) DO UPDATE SET ${updated.join(', ')}`;
  return `INSERT INTO ${table} (${columns}) ${values}${onConflict}`;
}

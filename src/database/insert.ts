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
  const [first] = rows;
  if (first === undefined) return;
  const names = Object.keys(first);
  const columns = names.join(', ');
  const values = `SELECT ${columns} FROM json_populate_recordset(NULL::${table}, $1::json)`;
  const updated = names.filter((name) => !key.includes(name)).map((name) => `${name} = excluded.${name}`);
  const onConflict = key.length === 0 ? '' : ` ON CONFLICT (${key.join(', ')}) DO UPDATE SET ${updated.join(', ')}`;
  await transaction.$executeRawUnsafe(`INSERT INTO ${table} (${columns}) ${values}${onConflict}`, JSON.stringify(rows));
}

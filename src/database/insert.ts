/** Inserts of many rows in one statement, whose text is the same for any number of them. */
import type { Transaction } from './client.ts';

/**
 * Inserts rows; columns that they do not name get their default.
 * @param rows values as JSON has them, dates, and null for SQL NULL; all of the same columns.
 */
export async function insertAll(
  transaction: Pick<Transaction, '$executeRawUnsafe'>,
  table: string,
  rows: readonly object[],
): Promise<void> {
  const [first] = rows;
  if (first === undefined) return;
  const columns = Object.keys(first).join(', ');
  await transaction.$executeRawUnsafe(
    `INSERT INTO ${table} (${columns}) SELECT ${columns} FROM json_populate_recordset(NULL::${table}, $1::json)`,
    JSON.stringify(rows),
  );
}

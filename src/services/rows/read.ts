/** Reads a key's rows, both at once: as they were at one moment. */
import { type Database, Prisma, type Transaction } from '../../database/client.ts';
import { keyColumns, keyTables } from '../../database/columns.ts';
import type { KeyRow } from './key-row.ts';

/** Prepared once a connection: this is what most requests ask for, and Prisma's own query takes twice the time. */
const selectKey = { name: 'find_key', text: `SELECT ${keyColumns} FROM ${keyTables} WHERE keys.id = $1` };

/** The key's row, or undefined. @param id a UUID. */
export async function findRow({ pool }: Pick<Database, 'pool'>, id: string): Promise<KeyRow | undefined> {
  const { rows } = await pool.query<KeyRow>({ ...selectKey, values: [id] });
  return rows[0];
}

/** The same in a transaction, or null. */
export async function findRowIn(transaction: Pick<Transaction, '$queryRaw'>, id: string): Promise<KeyRow | null> {
  const [row] = await findRows(transaction, Prisma.sql`WHERE keys.id = ${id}::uuid`);
  return row ?? null;
}

/** Keys. @param rest what follows the names of the tables in the statement. */
export function findRows(transaction: Pick<Transaction, '$queryRaw'>, rest: Prisma.Sql): Promise<KeyRow[]> {
  return transaction.$queryRaw<KeyRow[]>`SELECT ${Prisma.raw(keyColumns)} FROM ${Prisma.raw(keyTables)} ${rest}`;
}

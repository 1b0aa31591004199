/** Finds one key. */
import type { KeyRow } from '../../database/client.ts';
import { keyColumns } from '../../database/columns.ts';
import { isUuid } from '../../domain/uuid.ts';
import type { Services } from '../context.ts';
import { keyNotFound } from '../problems.ts';

/** Prepared once a connection: this is what most requests ask for, and Prisma's own query takes twice the time. */
const selectKey = { name: 'find_key', text: `SELECT ${keyColumns()} FROM keys WHERE id = $1` };

/** The key's row, or undefined. Any text is taken for an id. */
export async function lookUpKey(services: Services, id: string): Promise<KeyRow | undefined> {
  if (!isUuid(id)) return undefined;
  const { rows } = await services.database.pool.query<KeyRow>({ ...selectKey, values: [id] });
  return rows[0];
}

/** @throws ProblemError not-found */
export async function findKey(services: Services, id: string): Promise<KeyRow> {
  const row = await lookUpKey(services, id);
  if (row === undefined) throw keyNotFound(id);
  return row;
}

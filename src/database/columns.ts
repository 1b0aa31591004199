/**
 * The columns of each table, for statements that read whole rows. None says `SELECT *`: what a prepared statement answers would
 * change with the next column that a migration adds, and each connection that had prepared it would fail once.
 */
import { Prisma } from '../generated/prisma/client.ts';

function list(fields: Record<string, string>, table?: string): string {
  const prefix = table === undefined ? '' : `${table}.`;
  return Object.values(fields)
    .map((field) => `${prefix}${field}`)
    .join(', ');
}

const { key_ref: _ref, provider: _provider, ...ofWork } = Prisma.WorkScalarFieldEnum;

/** The columns of `work` that are read as a key's: those that `keys` has as well are not. */
export const workColumnNames: readonly string[] = Object.values(ofWork);

/** Of a key, in a statement that reads it from `keyTables`. */
export const keyColumns = `${list(Prisma.KeyScalarFieldEnum, 'keys')}, ${list(ofWork, 'work')}`;

/** A key's two rows. */
export const keyTables = 'keys JOIN work ON work.key_ref = keys.id';

/** Of `providers`. */
export const providerColumns = list(Prisma.ProviderScalarFieldEnum);

/** Of `events`. @param table its name in the statement. */
export function eventColumns(table: string): string {
  return list(Prisma.EventScalarFieldEnum, table);
}

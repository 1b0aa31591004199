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

/** Of `keys`. @param table its name in the statement; undefined: it is the only one. */
export function keyColumns(table?: string): string {
  return list(Prisma.KeyScalarFieldEnum, table);
}

/** Of `providers`. */
export const providerColumns = list(Prisma.ProviderScalarFieldEnum);

/** Of `events`. @param table its name in the statement. */
export function eventColumns(table: string): string {
  return list(Prisma.EventScalarFieldEnum, table);
}

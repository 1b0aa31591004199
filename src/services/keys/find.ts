/** Finds keys by their ids. */

import { Prisma, type Transaction } from '../../database/client.ts';
import { isUuid } from '../../domain/uuid.ts';
import type { Services } from '../context.ts';
import { keyNotFound } from '../problems.ts';
import type { KeyRow } from '../rows/key-row.ts';
import { findRow, findRows } from '../rows/read.ts';

/** Rows that one statement reads. */
const atOnce = 500;

/** The key's row, or undefined. Any text is taken for an id. */
export async function lookUpKey(services: Services, id: string): Promise<KeyRow | undefined> {
  if (!isUuid(id)) return undefined;
  return findRow(services.database, id);
}

/** The record that has a KMS key; null: none. One whose key KMS has deleted does not: a replica may have its ARN again. */
export function findHolder({ key }: Pick<Transaction, 'key'>, arn: string): Promise<{ id: string } | null> {
  return key.findFirst({ where: { arn, state: { not: 'deleted' } }, select: { id: true } });
}

/** The rows of those of the ids that are on record. @param ids UUIDs. */
export async function findAmong({ database }: Services, ids: readonly string[]): Promise<KeyRow[]> {
  const rows: KeyRow[] = [];
  for (let start = 0; start < ids.length; start += atOnce) {
    const some = ids.slice(start, start + atOnce);
    rows.push(...(await findRows(database.prisma, Prisma.sql`WHERE keys.id = ANY(${some}::uuid[])`)));
  }
  return rows;
}

/** @throws ProblemError not-found */
export async function findKey(services: Services, id: string): Promise<KeyRow> {
  const row = await lookUpKey(services, id);
  if (row === undefined) throw keyNotFound(id);
  return row;
}

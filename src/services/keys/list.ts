/** Lists keys. */
import { Prisma } from '../../database/client.ts';
import type { Access } from '../../domain/access.ts';
import type { KeyListQuery } from '../../schemas/key-list.ts';
import type { Services } from '../context.ts';
import type { KeyRow } from '../rows/key-row.ts';
import { findRows } from '../rows/read.ts';
import { conditionsOf } from './filters.ts';
import { orderBy } from './sort.ts';

const standardLimit = 50;

/**
 * One page of the keys that the caller may see and every filter lets through. Deleted keys only where `state` asks for them.
 * @returns the rows, and the cursor of the next page or null.
 * @throws ProblemError malformed-request for a cursor that no page gave.
 */
export async function listKeys(
  services: Services,
  query: KeyListQuery,
  access: Access,
): Promise<{ rows: KeyRow[]; nextCursor: string | null }> {
  const limit = query.limit ?? standardLimit;
  const conditions = conditionsOf(query, access);
  const order = orderBy(query.sort ?? '-created_at');
  if (query.cursor !== undefined) conditions.push(order.after(query.cursor));
  const found = Prisma.sql`WHERE ${Prisma.join(conditions, ' AND ')} ORDER BY ${order.by} LIMIT ${limit + 1}`;
  const rows = await findRows(services.database.prisma, found);
  const page = rows.slice(0, limit);
  const last = page.at(-1);
  return { rows: page, nextCursor: rows.length > limit && last !== undefined ? order.cursorOf(last) : null };
}

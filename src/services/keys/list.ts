/** Lists keys, newest first. */
import { Prisma } from '../../database/client.ts';
import type { Access } from '../../domain/access.ts';
import type { KeyListQuery } from '../../schemas/key.ts';
import type { Services } from '../context.ts';
import { decodeCursor, encodeCursor } from '../cursors.ts';
import type { KeyRow } from '../rows/key-row.ts';
import { findRows } from '../rows/read.ts';
import { withinLimits } from '../visibility.ts';

const standardLimit = 50;
const uuid = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;

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
  const visible = withinLimits(access.limitsOf('keys:read'));
  const conditions = [visible, ...columnFilters(query), ...(query.tag ?? []).map(tagFilter)];
  if (query.cursor !== undefined)
    conditions.push(Prisma.sql`keys.id < ${decodeCursor(query.cursor, 'keys', uuid)}::uuid`);
  const found = Prisma.sql`WHERE ${Prisma.join(conditions, ' AND ')} ORDER BY keys.id DESC LIMIT ${limit + 1}`;
  const rows = await findRows(services.database.prisma, found);
  const page = rows.slice(0, limit);
  const last = page.at(-1);
  return { rows: page, nextCursor: rows.length > limit && last !== undefined ? encodeCursor('keys', last.id) : null };
}

function columnFilters(query: KeyListQuery): Prisma.Sql[] {
  const { state, is_enabled: isEnabled, multi_region: isMultiRegion } = query;
  const filters = [state === undefined ? Prisma.sql`state <> 'deleted'` : Prisma.sql`state = ${state}`];
  if (isEnabled !== undefined) filters.push(Prisma.sql`is_enabled = ${isEnabled}`);
  if (isMultiRegion !== undefined) filters.push(Prisma.sql`multi_region = ${isMultiRegion}`);
  for (const name of ['key_usage', 'customer_master_key_spec', 'provider', 'key_id', 'arn'] as const) {
    const value = query[name];
    if (value !== undefined) filters.push(Prisma.sql`keys.${Prisma.raw(name)} = ${value}`);
  }
  return filters;
}

/** `name:value` or `name`; the name ends at the first colon that has no backslash before it. */
function tagFilter(text: string): Prisma.Sql {
  const colon = /(?<!\\):/.exec(text);
  const name = (colon === null ? text : text.slice(0, colon.index)).replaceAll('\\:', ':');
  if (colon === null) return Prisma.sql`tags_all ? ${name}`;
  const value = text.slice(colon.index + 1);
  return Prisma.sql`tags_all @> ${JSON.stringify({ [name]: value })}::jsonb`;
}

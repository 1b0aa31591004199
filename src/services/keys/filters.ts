/** Which keys a list, or a count, is of. */
import { Prisma } from '../../database/client.ts';
import type { Access } from '../../domain/access.ts';
import type { KeyFilters } from '../../schemas/key-list.ts';
import { withinLimits } from '../visibility.ts';

/** What holds for the keys that the caller may see and every filter lets through. Deleted ones only where `state` asks for them. */
export function conditionsOf(query: KeyFilters, access: Access): Prisma.Sql[] {
  const limits = access.limitsOf('keys:read');
  const filters = [withinLimits(limits), ...columnFilters(query), ...(query.tag ?? []).map(tagFilter)];
  if (query.replica_of !== undefined) filters.push(isOfVisible(access));
  return filters;
}

/** Of a replica: that its primary key's record is one that the caller may see. */
export function isOfVisible(access: Access): Prisma.Sql {
  const limits = access.limitsOf('keys:read');
  if (limits === null) return Prisma.sql`true`;
  return Prisma.sql`EXISTS (SELECT 1 FROM keys AS primaries WHERE primaries.id = keys.replica_of AND ${withinLimits(limits, 'primaries')})`;
}

const equal = [
  ...(['key_usage', 'customer_master_key_spec', 'provider', 'key_id', 'arn', 'drift_policy'] as const),
  ...(['is_enabled', 'multi_region', 'deletion_protection'] as const),
];

function columnFilters(query: KeyFilters): Prisma.Sql[] {
  const { state, created_since: created, updated_since: updated } = query;
  const filters = [state === undefined ? Prisma.sql`keys.state <> 'deleted'` : Prisma.sql`keys.state = ANY(${state})`];
  for (const name of equal) {
    const value = query[name];
    if (value !== undefined) filters.push(Prisma.sql`keys.${Prisma.raw(name)} = ${value}`);
  }
  if (created !== undefined) filters.push(Prisma.sql`keys.created_at >= ${new Date(created)}`);
  if (updated !== undefined) filters.push(Prisma.sql`keys.updated_at >= ${new Date(updated)}`);
  if (query.alias !== undefined) filters.push(aliasFilter(query.alias));
  if (query.replica_of !== undefined) filters.push(Prisma.sql`keys.replica_of = ${query.replica_of}::uuid`);
  if (query.q !== undefined) filters.push(textFilter(query.q));
  return filters;
}

/** The pattern of texts that have this one in them. */
export function patternOf(text: string): string {
  return `%${text.replaceAll(/[\\%_]/g, '\\$&')}%`;
}

/** What declares an alias, or was last seen with it: that is drift, of which there is little, and found by its state. */
export function aliasFilter(name: string): Prisma.Sql {
  return Prisma.sql`keys.id IN (
    SELECT key_ref FROM declared_aliases WHERE name = ${name}
    UNION ALL
    SELECT drifted.id FROM keys AS drifted
    WHERE drifted.state = 'drifted' AND drifted.observed -> 'aliases' ->> ${name} = drifted.key_id)`;
}

function textFilter(text: string): Prisma.Sql {
  const pattern = patternOf(text);
  const found = Prisma.sql`key_search_text(keys.description, keys.arn, keys.key_id, keys.tags_all) ILIKE ${pattern}`;
  // What is searched has a line for each field, and a description alone has lines of its own.
  return text.includes('\n') ? Prisma.sql`(${found} AND keys.description ILIKE ${pattern})` : found;
}

/** `name:value` or `name`; the name ends at the first colon that has no backslash before it. For one table with `tags_all`. */
export function tagFilter(text: string): Prisma.Sql {
  const colon = /(?<!\\):/.exec(text);
  const name = (colon === null ? text : text.slice(0, colon.index)).replaceAll('\\:', ':');
  if (colon === null) return Prisma.sql`tags_all ? ${name}`;
  const value = text.slice(colon.index + 1);
  return Prisma.sql`tags_all @> ${JSON.stringify({ [name]: value })}::jsonb`;
}

/**
 * What a caller may see. Of a key that it may read it sees what KMS tells of that key: the ARNs of its multi-Region configuration, and
 * the key ids that its aliases point at. Of records of other keys it sees those alone that it may read; so no text that is kept with a
 * key (`status.error`, events) names the record of another one.
 */
import { type Database, Prisma } from '../database/client.ts';
import type { Access, Limit } from '../domain/access.ts';

/** Those of the records that the caller may see. @param ids UUIDs. */
export async function visibleAmong(
  { database }: { database: Database },
  ids: readonly string[],
  access: Access,
): Promise<Set<string>> {
  const limits = access.limitsOf('keys:read');
  if (ids.length === 0 || limits === null) return new Set(ids);
  const found = await database.prisma.$queryRaw<{ id: string }[]>`
    SELECT id FROM keys WHERE id = ANY(${ids}::uuid[]) AND ${withinLimits(limits)}`;
  return new Set(found.map(({ id }) => id));
}

/**
 * The condition that a row of `keys` is within one of the limits.
 * @param limits null: everywhere; none: nowhere.
 * @param table the name of `keys` in the statement.
 */
export function withinLimits(limits: readonly Limit[] | null, table = 'keys'): Prisma.Sql {
  if (limits === null) return Prisma.sql`true`;
  const column = (name: string) => Prisma.raw(`${table}.${name}`);
  const each = limits.map(({ providers, tags }) => {
    const of =
      providers === null ? Prisma.sql`true` : Prisma.sql`${column('provider')} = ANY(${[...providers]}::text[])`;
    if (tags === null) return of;
    return Prisma.sql`(${of} AND ${column('tags_all')} @> ${JSON.stringify(tags)}::jsonb)`;
  });
  return each.length === 0 ? Prisma.sql`false` : Prisma.sql`(${Prisma.join(each, ' OR ')})`;
}

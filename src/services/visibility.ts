/** What of a table a caller may see, in SQL. */
import { Prisma } from '../database/client.ts';
import type { Limit } from '../domain/access.ts';

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

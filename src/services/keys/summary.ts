/** How many keys there are, of each kind. */
import { Prisma } from '../../database/client.ts';
import type { Access } from '../../domain/access.ts';
import type { KeyFilters, KeySummary } from '../../schemas/key-list.ts';
import type { Services } from '../context.ts';
import { conditionsOf } from './filters.ts';

const dimensions = ['state', 'provider', 'key_usage', 'customer_master_key_spec'] as const;
type Dimension = (typeof dimensions)[number];
type Row = { [Name in Dimension]: string | null } & { total: number };

/** Counts the keys that the caller may see and every filter lets through, in one statement and so as of one moment. */
export async function summarizeKeys(services: Services, query: KeyFilters, access: Access): Promise<KeySummary> {
  const conditions = Prisma.join(conditionsOf(query, access), ' AND ');
  const rows = await services.database.prisma.$queryRaw<Row[]>`
    SELECT keys.state, keys.provider, keys.key_usage, keys.customer_master_key_spec, count(*)::int AS total
    FROM keys WHERE ${conditions}
    GROUP BY GROUPING SETS ((), (keys.state), (keys.provider), (keys.key_usage), (keys.customer_master_key_spec))
    ORDER BY total DESC`;
  const of = (name: Dimension) =>
    Object.fromEntries(rows.flatMap((row) => (row[name] === null ? [] : [[row[name], row.total]])));
  const all = rows.find((row) => dimensions.every((name) => row[name] === null));
  return {
    total: all?.total ?? 0,
    by_state: of('state'),
    by_provider: of('provider'),
    by_key_usage: of('key_usage'),
    by_customer_master_key_spec: of('customer_master_key_spec'),
  };
}

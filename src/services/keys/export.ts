/** Keys as they are declared, for whoever keeps the declarations elsewhere or moves to another installation. */
import { Prisma } from '../../database/client.ts';
import type { Access } from '../../domain/access.ts';
import type { ExportedKey } from '../../schemas/key-lines.ts';
import type { KeyFilters } from '../../schemas/key-list.ts';
import type { Services } from '../context.ts';
import { declaredOf } from '../rows/declared.ts';
import type { KeyRow } from '../rows/key-row.ts';
import { findRows } from '../rows/read.ts';
import { visibleAmong } from '../visibility.ts';
import { conditionsOf, isOfVisible } from './filters.ts';

/** Keys that are read at once: what a slow client has not taken yet is kept in memory. */
const batch = 200;

/** The keys for which all of the conditions hold, oldest first. */
export async function* walkKeys(services: Services, conditions: Prisma.Sql[]): AsyncGenerator<KeyRow[]> {
  let after: KeyRow | undefined;
  do {
    const place =
      after === undefined ? [] : [Prisma.sql`(keys.created_at, keys.id) > (${after.created_at}, ${after.id}::uuid)`];
    const where = Prisma.join([...conditions, ...place], ' AND ');
    const rows = await findRows(
      services.database.prisma,
      Prisma.sql`WHERE ${where} ORDER BY keys.created_at, keys.id LIMIT ${batch}`,
    );
    if (rows.length > 0) yield rows;
    after = rows.length < batch ? undefined : rows.at(-1);
  } while (after !== undefined);
}

/** The same, and each primary key before its replicas. */
export async function* walkFamilies(services: Services, conditions: Prisma.Sql[]): AsyncGenerator<KeyRow[]> {
  yield* walkKeys(services, [...conditions, Prisma.sql`keys.replica_of IS NULL`]);
  yield* walkKeys(services, [...conditions, Prisma.sql`keys.replica_of IS NOT NULL`]);
}

/** How many keys are left out since they are pending deletion. */
export async function countPendingDeletion(services: Services, query: KeyFilters, access: Access): Promise<number> {
  if (query.state !== undefined) return 0;
  const where = Prisma.join([...conditionsOf(query, access), Prisma.sql`keys.lifecycle = 'pending_deletion'`], ' AND ');
  const [row] = await services.database.prisma.$queryRaw<{ count: bigint }[]>`
    SELECT count(*) AS count FROM keys WHERE ${where}`;
  return Number(row?.count ?? 0);
}

/**
 * Which keys are exported: those that the caller may see and every filter lets through. Keys that are deleted, or being let go of,
 * are none of them, and keys pending deletion only where `state` asks for them.
 */
export function conditionsToExport(query: KeyFilters, access: Access): Prisma.Sql[] {
  const lives = query.state === undefined ? ['managed'] : ['managed', 'pending_deletion'];
  const isThere = Prisma.sql`keys.state <> 'deleted' AND keys.lifecycle = ANY(${lives})`;
  // Without the key that it is to be of, its line would make a key of its own.
  const isWhole = Prisma.sql`(keys.replica_of IS NULL OR keys.key_id IS NOT NULL OR ${isOfVisible(access)})`;
  return [...conditionsOf(query, access), isThere, isWhole];
}

/** Keys as they are declared, and which KMS key each is. */
export async function declarationsOf(services: Services, rows: KeyRow[], access: Access): Promise<ExportedKey[]> {
  const visible = await visibleAmong(
    services,
    rows.flatMap(({ replica_of }) => replica_of ?? []),
    access,
  );
  return rows.map((row) => {
    const { lifecycle: _lifecycle, pending_window_in_days: _window, ...declared } = declaredOf(row);
    const { id, provider, arn, key_id, replica_of } = row;
    return { id, provider, arn, key_id, replica_of: visible.has(replica_of ?? '') ? replica_of : null, ...declared };
  });
}

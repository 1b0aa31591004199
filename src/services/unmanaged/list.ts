/** Keys in KMS that Keyward does not manage, as the last sweep saw them. */
import { Prisma } from '../../database/client.ts';
import type { Access } from '../../domain/access.ts';
import type { UnmanagedKey, UnmanagedKeyList, UnmanagedKeyQuery } from '../../schemas/unmanaged.ts';
import type { Services } from '../context.ts';
import { pageAfter } from '../cursors.ts';
import { patternOf, tagFilter } from '../keys/filters.ts';
import { assertKnown } from '../providers/commands.ts';
import { withinLimits } from '../visibility.ts';

type Row = Omit<UnmanagedKey, 'creation_date' | 'deletion_date' | 'tags' | 'observed_at'> & {
  creation_date: Date | null;
  deletion_date: Date | null;
  tags_all: UnmanagedKey['tags'];
  checked_at: Date;
};

const list = { list: 'unmanaged keys', form: /^[^\0\n]+\n[^\0\n]+$/, placeOf };

/**
 * One page, by provider and key id. Asks nothing of KMS. Where a provider has never been swept, that is done soon.
 * @throws ProblemError not-found for a provider that does not exist, malformed-request for a cursor that no page gave.
 */
export async function listUnmanagedKeys(
  services: Services,
  query: UnmanagedKeyQuery,
  access: Access,
): Promise<UnmanagedKeyList> {
  const { provider } = query;
  if (provider !== undefined) await assertKnown(services, provider, 'keys:import', access);
  const sweeps = await sweepsOf(services, provider, access);
  const { items, next_cursor } = await pageAfter<Row>(list, query, (after, take) =>
    find(services, query, access, { after, take }),
  );
  const seesAll = access.hasEverywhere('keys:read');
  return { items: items.map((row) => toUnmanagedKey(row, seesAll)), next_cursor, sweeps };
}

/** When each of the providers was last swept. */
async function sweepsOf({ database, log }: Services, provider: string | undefined, access: Access) {
  const rows = await database.prisma.provider.findMany({
    where: provider === undefined ? {} : { name: provider },
    select: { name: true, swept_at: true, sweep_error: true },
    orderBy: { name: 'asc' },
  });
  const visible = rows.filter(({ name }) => access.mayAt('keys:import', name));
  if (visible.some(({ swept_at, sweep_error }) => swept_at === null && sweep_error === null)) {
    await database.pool
      .query(
        "UPDATE chores SET due_at = now() WHERE name = 'sweep-unmanaged-keys' AND due_at > now() + interval '2 minutes'",
      )
      .catch((error) => log.warn({ err: error }, 'could not have a provider swept'));
  }
  return visible.map(({ name, swept_at, sweep_error }) => ({
    provider: name,
    as_of: swept_at?.toISOString() ?? null,
    error: sweep_error,
  }));
}

function placeOf({ provider, key_id }: Pick<Row, 'provider' | 'key_id'>): string {
  return `${provider}\n${key_id}`;
}

function find(
  { database }: Services,
  query: UnmanagedKeyQuery,
  access: Access,
  { after, take }: { after: string | null; take: number },
): Promise<Row[]> {
  const [provider = '', keyId = ''] = after?.split('\n') ?? [];
  const conditions = [
    withinLimits(access.limitsOf('keys:import'), 'seen'),
    ...filtersOf(query),
    ...(after === null ? [] : [Prisma.sql`(seen.provider, seen.key_id) > (${provider}, ${keyId})`]),
  ];
  return database.prisma.$queryRaw<Row[]>`
    SELECT provider, key_id, arn, description, key_usage, customer_master_key_spec, multi_region, key_state, key_manager, is_replica,
      creation_date, deletion_date, tags_all, aliases, claimed_id, checked_at
    FROM foreign_keys AS seen
    WHERE ${Prisma.join(conditions, ' AND ')} AND ${isUnmanaged}
    ORDER BY seen.provider, seen.key_id LIMIT ${take}`;
}

/** By now: an import is in no sweep. What Keyward has the deletion of scheduled is not, until somebody takes that back. */
const isUnmanaged = Prisma.sql`
  NOT EXISTS (SELECT FROM keys WHERE keys.arn = seen.arn AND keys.state <> 'deleted')
  AND NOT EXISTS (
    SELECT FROM former_keys AS former
    WHERE former.key_id = seen.key_id AND (former.deletion = 'waiting'
      OR (former.deletion <> 'left' AND seen.key_state IN ('PendingDeletion', 'PendingReplicaDeletion'))))`;

function filtersOf({ provider, tag = [], alias, q, include = [] }: UnmanagedKeyQuery): Prisma.Sql[] {
  return [
    ...(provider === undefined ? [] : [Prisma.sql`seen.provider = ${provider}`]),
    // What KMS does not tell is no reason to leave a key out.
    ...(include.includes('aws') ? [] : [Prisma.sql`seen.key_manager IS DISTINCT FROM 'AWS'`]),
    ...(include.includes('replicas') ? [] : [Prisma.sql`seen.is_replica IS NOT TRUE`]),
    ...(alias === undefined ? [] : [Prisma.sql`seen.aliases ? ${alias}`]),
    ...(q === undefined ? [] : [textFilter(q)]),
    ...tag.map(tagFilter),
  ];
}

function textFilter(text: string): Prisma.Sql {
  const pattern = patternOf(text);
  // As of keys that have a record: lines are a description's.
  if (text.includes('\n')) return Prisma.sql`seen.description ILIKE ${pattern}`;
  return Prisma.sql`(
    key_search_text(coalesce(seen.description, ''), seen.arn, seen.key_id, coalesce(seen.tags_all, '{}')) ILIKE ${pattern}
    OR EXISTS (SELECT FROM jsonb_array_elements_text(seen.aliases) AS name WHERE name ILIKE ${pattern}))`;
}

/** @param seesAll which record a key claims is for those who see all records. */
function toUnmanagedKey({ tags_all, checked_at, ...row }: Row, seesAll: boolean): UnmanagedKey {
  return {
    ...row,
    creation_date: row.creation_date?.toISOString() ?? null,
    deletion_date: row.deletion_date?.toISOString() ?? null,
    tags: tags_all,
    claimed_id: seesAll ? row.claimed_id : null,
    observed_at: checked_at.toISOString(),
  };
}

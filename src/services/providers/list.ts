/** Providers, as the HTTP contract shows them, with how far a change of their tags has come. */
import { createHash } from 'node:crypto';
import { Prisma, type ProviderRow } from '../../database/client.ts';
import type { Access } from '../../domain/access.ts';
import { secondsFor, timeAfter } from '../../domain/request-quotas.ts';
import { type Provider, type ProviderListQuery, type ProviderProgress, providerName } from '../../schemas/provider.ts';
import type { Services } from '../context.ts';
import { decodeCursor, encodeCursor } from '../cursors.ts';
import { withinLimits } from '../visibility.ts';
import { providerNotFound } from './commands.ts';
import { findProviderRow, settingsOf, withoutSecrets } from './settings.ts';

const standardLimit = 50;

/** @throws ProblemError not-found */
export async function findProvider(
  services: Services,
  name: string,
  access: Access,
): Promise<{ row: ProviderRow; shown: Provider }> {
  const row = await findProviderRow(services, name);
  if (row === null) throw providerNotFound(name);
  return { row, shown: await showProvider(services, row, access) };
}

/** `"<version>.<digest>"`: the digest moves with all that is shown, as how far a change has come. */
export function providerTag({ version }: Pick<ProviderRow, 'version'>, shown: Provider): string {
  const digest = createHash('sha256').update(JSON.stringify(shown)).digest('base64url');
  return `"${version}.${digest.slice(0, 11)}"`;
}

/** The representation of one; keys that the caller may not see do not count. */
export async function showProvider(services: Services, row: ProviderRow, access: Access): Promise<Provider> {
  return toProvider(row, (await progressOf(services, [row], access)).get(row.name));
}

/** One page, by name. @throws ProblemError malformed-request for a cursor that no page gave. */
export async function listProviders(services: Services, query: ProviderListQuery, access: Access) {
  const limit = query.limit ?? standardLimit;
  const after =
    query.cursor === undefined ? {} : { name: { gt: decodeCursor(query.cursor, 'providers', providerName) } };
  const rows = await services.database.prisma.provider.findMany({
    where: { AND: [after, visibleTo(access)] },
    orderBy: { name: 'asc' },
    take: limit + 1,
  });
  const page = rows.slice(0, limit);
  const last = page.at(-1);
  const progress = await progressOf(services, page, access);
  return {
    items: page.map((row) => toProvider(row, progress.get(row.name))),
    next_cursor: rows.length > limit && last !== undefined ? encodeCursor('providers', last.name) : null,
  };
}

function visibleTo(access: Access) {
  const limits = access.limitsOf('providers:read');
  if (limits === null || limits.some(({ providers }) => providers === null)) return {};
  return { name: { in: limits.flatMap(({ providers }) => providers ?? []) } };
}

const nothing = { keys_total: 0, keys_in_sync: 0, keys_pending: 0, expected_until: null };

function toProvider(row: ProviderRow, progress: Omit<ProviderProgress, 'started_at'> = nothing): Provider {
  return {
    name: row.name,
    ...withoutSecrets(settingsOf(row)),
    progress: { ...progress, started_at: row.tags_changed_at?.toISOString() ?? null },
    created_at: row.created_at.toISOString(),
    updated_at: row.updated_at.toISOString(),
  };
}

type Counts = { provider: string; total: number; in_sync: number; pending: number; to_tag: number; to_untag: number };

async function progressOf(services: Services, rows: ProviderRow[], access: Access) {
  if (rows.length === 0) return new Map<string, Omit<ProviderProgress, 'started_at'>>();
  const rates = new Map(rows.map((row) => [row.name, services.clients.rates(row.name, settingsOf(row))]));
  const counts = await services.database.prisma.$queryRaw<Counts[]>`
    SELECT keys.provider, count(*)::int AS total,
      count(*) FILTER (WHERE state = 'in_sync' AND default_tags_due IS NULL AND NOT is_behind)::int AS in_sync,
      count(*) FILTER (WHERE default_tags_due IS NOT NULL OR is_behind)::int AS pending,
      count(*) FILTER (WHERE tags_all ?| names OR is_behind)::int AS to_tag,
      count(*) FILTER (WHERE NOT tags_all ?& names)::int AS to_untag
    FROM keys
    LEFT JOIN provider_changes AS change ON change.provider = keys.provider AND change.tags
    CROSS JOIN LATERAL (
      SELECT array(SELECT jsonb_array_elements_text(default_tags_due) WHERE default_tags_due IS NOT NULL) AS names,
        coalesce(keys.id > change.reached, false) AS is_behind
    ) AS due
    WHERE keys.provider IN (${Prisma.join(rows.map(({ name }) => name))}) AND lifecycle = 'managed' AND state <> 'deleted'
      AND ${withinLimits(access.limitsOf('keys:read'))}
    GROUP BY keys.provider`;
  return new Map(
    counts.map(({ provider, total, in_sync, pending, to_tag, to_untag }) => [
      provider,
      {
        keys_total: total,
        keys_in_sync: in_sync,
        keys_pending: pending,
        expected_until:
          pending === 0
            ? null
            : timeAfter(
                Date.now(),
                secondsFor(
                  { TagResource: to_tag, UntagResource: to_untag },
                  rates.get(provider) ?? null,
                  services.quotaShare,
                ),
              ),
      },
    ]),
  );
}

/** Imports and their keys, as the HTTP contract shows them. Whoever asked for one sees it, and whoever sees all keys. */
import { Prisma, type Transaction } from '../../database/client.ts';
import type { Access } from '../../domain/access.ts';
import type { ImportFilters, ImportOutcome } from '../../domain/imports.ts';
import type { Permission } from '../../domain/permissions.ts';
import { readsOfKey, secondsFor, timeAfter } from '../../domain/request-quotas.ts';
import type { Difference } from '../../domain/types.ts';
import { isUuid } from '../../domain/uuid.ts';
import type { PageQuery } from '../../schemas/history.ts';
import type { Import, ImportItem, ImportItemQuery } from '../../schemas/imports.ts';
import { mayKnowAllKeys } from '../access/keys.ts';
import type { Caller } from '../access/sign-in.ts';
import type { Services } from '../context.ts';
import { pageAfter, uuidForm } from '../cursors.ts';
import { ProblemError } from '../problems.ts';
import { findSettings } from '../providers/settings.ts';
import type { ImportRow } from './rows/imports.ts';
import type { Reason } from './rows/items.ts';

type Row = Pick<ImportRow, 'id' | 'kind' | 'provider' | 'dry_run' | 'state' | 'actor' | 'is_listed'> & {
  filters: ImportFilters | null;
  drift_policy: string | null;
  error: { code: string; message: string } | null;
  started_at: Date;
  finished_at: Date | null;
};

type Counts = Record<ImportOutcome | 'total', number>;

/** Seconds over which the rate is taken. */
const rateWindow = 10;

/** @throws ProblemError not-found where there is none, or the caller may not see it. */
export async function findVisible(
  services: Services,
  id: string,
  caller: Caller,
  permission: Permission = 'keys:read',
): Promise<Row> {
  const where = {
    AND: [{ id: isUuid(id) ? id : '00000000-0000-0000-0000-000000000000' }, visibleTo(caller, permission)],
  };
  const row = await services.database.prisma.import.findFirst({ where });
  if (row === null) throw new ProblemError('not-found', `There is no import with the id ${JSON.stringify(id)}.`);
  return row as unknown as Row;
}

function visibleTo({ access, principal }: Caller, permission: Permission) {
  return access.hasEverywhere(permission) ? {} : { principal };
}

/**
 * Which keys of an import a caller may know of. Of all keys of an account, one whose rights are limited knows those that were looked
 * at: any other may be somebody else's.
 */
function knownTo({ access }: Caller, { kind }: Row): Prisma.Sql {
  if (isKnownWhole(access, kind)) return everything;
  return Prisma.sql`outcome <> 'waiting' AND coalesce(reason ->> 'code', '') <> ALL('{cancelled,elsewhere}')`;
}

function isKnownWhole(access: Access, kind: Row['kind']): boolean {
  return kind !== 'all' || mayKnowAllKeys(access);
}

const everything = Prisma.sql`true`;

/** One import. @throws ProblemError not-found */
export async function showImport(services: Services, id: string, caller: Caller): Promise<Import> {
  return toImport(services, await findVisible(services, id, caller), caller);
}

/** One page, newest first. @throws ProblemError malformed-request for a cursor that no page gave. */
export async function listImports(services: Services, query: PageQuery, caller: Caller) {
  const list = { list: 'imports', form: uuidForm, placeOf: ({ id }: Row) => id };
  const { items, next_cursor } = await pageAfter<Row>(list, query, async (after, take) => {
    const where = { AND: [visibleTo(caller, 'keys:read'), after === null ? {} : { id: { lt: after } }] };
    const rows = await services.database.prisma.import.findMany({ where, orderBy: { id: 'desc' }, take });
    return rows as unknown as Row[];
  });
  return { items: await Promise.all(items.map((row) => toImport(services, row, caller))), next_cursor };
}

/** How many of its keys ended how. @param known the condition for a key that is counted. */
export async function countsOf(
  transaction: Pick<Transaction, '$queryRaw'>,
  importId: string,
  known = everything,
): Promise<Counts> {
  const rows = await transaction.$queryRaw<{ outcome: ImportOutcome; count: number }[]>`
    SELECT outcome, count(*)::int AS count FROM import_items
    WHERE import_id = ${importId}::uuid AND ${known} GROUP BY outcome`;
  const counts: Counts = { total: 0, imported: 0, already_managed: 0, skipped: 0, failed: 0, waiting: 0 };
  for (const { outcome, count } of rows) {
    counts[outcome] = count;
    counts.total += count;
  }
  return counts;
}

async function toImport(services: Services, row: Row, caller: Caller): Promise<Import> {
  const known = knownTo(caller, row);
  const counts = await countsOf(services.database.prisma, row.id, known);
  const rate = await rateOf(services, row, counts, known);
  // It would tell how many keys there are.
  const isForetold = row.state === 'running' && isKnownWhole(caller.access, row.kind);
  return {
    id: row.id,
    state: row.state as Import['state'],
    source: row.kind,
    provider: row.provider,
    ...(row.filters as Pick<Import, 'tags' | 'created_after' | 'key_usage'> | null),
    drift_policy: row.drift_policy as Import['drift_policy'],
    dry_run: row.dry_run,
    counts,
    rate,
    expected_until: isForetold ? await expectedUntil(services, row.id, rate) : null,
    error: row.error,
    requested_by: row.actor,
    started_at: row.started_at.toISOString(),
    finished_at: row.finished_at?.toISOString() ?? null,
  };
}

/** Keys a second. Those that were settled with the request that named them count for nothing. */
async function rateOf(
  { database }: Services,
  row: Row,
  { total, waiting }: Counts,
  known: Prisma.Sql,
): Promise<number | null> {
  const settled = total - waiting;
  if (settled === 0) return null;
  if (row.finished_at !== null) {
    const seconds = (row.finished_at.getTime() - row.started_at.getTime()) / 1000;
    return rounded(settled / Math.max(seconds, 0.001));
  }
  const [recent] = await database.prisma.$queryRaw<{ count: number; seconds: number }[]>`
    SELECT count(*)::int AS count,
      greatest(1, least(${rateWindow}, extract(epoch FROM now() - ${row.started_at}::timestamptz)))::float8 AS seconds
    FROM import_items WHERE import_id = ${row.id}::uuid AND settled_at > now() - ${rateWindow} * interval '1 second'
      AND ${known}`;
  return recent === undefined ? null : rounded(recent.count / recent.seconds);
}

function rounded(rate: number): number {
  return Math.round(rate * 10) / 10;
}

/** By the quotas, or by how fast it goes where that is slower. Each provider's keys go by its own. */
async function expectedUntil(services: Services, importId: string, rate: number | null): Promise<string> {
  const waiting = await services.database.prisma.$queryRaw<{ provider: string | null; count: number }[]>`
    SELECT provider, count(*)::int AS count FROM import_items
    WHERE import_id = ${importId}::uuid AND outcome = 'waiting' GROUP BY provider`;
  const seconds = await Promise.all(
    waiting.map(async ({ provider, count }) => {
      const settings = provider === null ? null : await findSettings(services, provider);
      const rates = provider === null || settings === null ? null : services.clients.rates(provider, settings);
      return secondsFor(Object.fromEntries(readsOfKey.map((read) => [read, count])), rates, services.quotaShare);
    }),
  );
  const left = waiting.reduce((sum, { count }) => sum + count, 0);
  const bySpeed = rate === null || rate === 0 ? 0 : left / rate;
  return timeAfter(Date.now(), Math.max(0, bySpeed, ...seconds));
}

type ItemRow = {
  position: number;
  source: string;
  provider: string | null;
  arn: string | null;
  outcome: ImportOutcome;
  reason: Reason | null;
  key_ref: string | null;
  declared: Record<string, unknown> | null;
  differences: Difference[] | null;
  settled_at: Date | null;
};

const mostPositions = 2_147_483_647;

/**
 * One page of an import's keys, in the order in which they were found: of those that the caller may know of.
 * @throws ProblemError not-found, malformed-request.
 */
export async function listImportItems(services: Services, id: string, query: ImportItemQuery, caller: Caller) {
  const row = await findVisible(services, id, caller);
  const { outcome } = query;
  const list = {
    list: `the keys of import ${id}`,
    form: /^\d{1,10}$/,
    placeOf: ({ position }: ItemRow) => String(position),
  };
  const { items, next_cursor } = await pageAfter<ItemRow>(list, query, (after, take) => {
    const conditions = [Prisma.sql`import_id = ${id}::uuid`, knownTo(caller, row)];
    if (after !== null) conditions.push(Prisma.sql`position > ${Math.min(Number(after), mostPositions)}`);
    if (outcome !== undefined) conditions.push(Prisma.sql`outcome = ${outcome}`);
    return services.database.prisma.$queryRaw<ItemRow[]>`
      SELECT position, source, provider, arn, outcome, reason, key_ref, declared, differences, settled_at
      FROM import_items WHERE ${Prisma.join(conditions, ' AND ')} ORDER BY position LIMIT ${take}`;
  });
  return { items: items.map(toItem), next_cursor };
}

function toItem(row: ItemRow): ImportItem {
  return {
    source: row.source,
    provider: row.provider,
    arn: row.arn,
    outcome: row.outcome,
    reason: row.reason,
    id: row.key_ref,
    differences: (row.differences ?? []).map(({ field, desired, observed }) => ({ field, stated: desired, observed })),
    declared: row.declared,
    finished_at: row.settled_at?.toISOString() ?? null,
  };
}

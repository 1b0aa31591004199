/** Everything that happened: to one key, or to all. */

import { type Database, type Event as EventRow, Prisma } from '../../database/client.ts';
import { eventColumns } from '../../database/columns.ts';
import type { Access, Limit } from '../../domain/access.ts';
import { beforeAndAfter, eventOrigin, type Members, withRelatives } from '../../domain/event-changes.ts';
import type { EventType } from '../../domain/events.ts';
import type { Json } from '../../domain/types.ts';
import { isUuid } from '../../domain/uuid.ts';
import type { Event, EventQuery } from '../../schemas/history.ts';
import { keyNotFound } from '../problems.ts';
import { visibleAmong, withinLimits } from '../visibility.ts';
import { type Page, readPage } from './pages.ts';

/** Where history is on record. */
type Recorded = { database: Database };

/** An event beside the revision of its generation. */
type Row = EventRow & { revision_origin: string | null; revision_request_id: string | null };

/**
 * One page of all events, newest first.
 * @throws ProblemError malformed-request.
 */
export async function listEvents(services: Recorded, query: EventQuery, access: Access): Promise<Page<Event>> {
  const { key } = query;
  if (key !== undefined && !isUuid(key)) return { items: [], nextCursor: null };
  const { items, nextCursor } = await readPage<Row>(
    key === undefined ? 'events' : `the events of ${key}`,
    query,
    ({ seq }) => seq,
    (limit, below) => {
      const conditions = [visibleTo(access)];
      if (key !== undefined) conditions.push(Prisma.sql`event.key_ref = ${key}::uuid`);
      if (query.provider !== undefined) conditions.push(Prisma.sql`event.provider = ${query.provider}`);
      if (query.type !== undefined) conditions.push(Prisma.sql`event.type = ${query.type}`);
      if (below !== null) conditions.push(Prisma.sql`event.seq < ${below}`);
      return services.database.prisma.$queryRaw<Row[]>`
        SELECT ${Prisma.raw(eventColumns('event'))}, revision.origin AS revision_origin, revision.request_id AS revision_request_id
        FROM events event
        LEFT JOIN revisions revision ON revision.key_ref = event.key_ref AND revision.generation = event.generation
        WHERE ${Prisma.join(conditions, ' AND ')} ORDER BY event.seq DESC LIMIT ${limit}`;
    },
  );
  const rows = await withoutHidden(services, await withIntents(services, items), access);
  return { items: rows.map(toEvent), nextCursor };
}

/** With null in place of the ids of other keys' records that the caller may not see. */
async function withoutHidden(services: Recorded, rows: Row[], access: Access): Promise<Row[]> {
  const named = new Set<string>();
  const read = rows.map((row) => ({ row, data: row.data as Members }));
  for (const { data } of read) withRelatives(data, (id) => named.add(id) && id);
  const visible = await visibleAmong(services, [...named], access);
  if (visible.size === named.size) return rows;
  return read.map(({ row, data }) => ({ ...row, data: withRelatives(data, (id) => (visible.has(id) ? id : null)) }));
}

/** Events of keys and of providers that the caller may see; those of the installation, and of keys that are gone, need no limit. */
function visibleTo(access: Access): Prisma.Sql {
  const limits = (['events:read', 'keys:read'] as const).map((permission) => access.limitsOf(permission));
  if (limits.every((those) => those === null)) return Prisma.sql`true`;
  const key = Prisma.join(
    limits.map((those) => withinLimits(those)),
    ' AND ',
  );
  const provider = Prisma.join(
    (['events:read', 'providers:read'] as const).map((permission) => ofProviders(access.limitsOf(permission))),
    ' AND ',
  );
  // What an import tells of is how many keys there are, whatever their tags.
  const untagged = access.limitsOf('keys:read')?.filter(({ tags }) => tags === null) ?? null;
  return Prisma.sql`(EXISTS (SELECT 1 FROM keys WHERE keys.id = event.key_ref AND ${key})
    OR (event.key_ref IS NULL AND event.provider IS NOT NULL AND ${provider}
      AND (event.type NOT LIKE 'import.%' OR ${ofProviders(untagged)})))`;
}

/** At a provider within the limits, whatever the tags. */
function ofProviders(limits: readonly Limit[] | null): Prisma.Sql {
  if (limits === null || limits.some(({ providers }) => providers === null)) return Prisma.sql`true`;
  return Prisma.sql`event.provider = ANY(${limits.flatMap(({ providers }) => providers ?? [])}::text[])`;
}

/** What a revision that is kept no longer told of its request is told by the event of its recording too. */
async function withIntents({ database }: Recorded, rows: Row[]): Promise<Row[]> {
  const alone = rows.filter(({ key_ref, revision_request_id }) => key_ref !== null && revision_request_id === null);
  if (alone.length === 0) return rows;
  const intents = await database.prisma.$queryRaw<Pick<Row, 'key_ref' | 'generation' | 'request_id' | 'data'>[]>`
    SELECT key_ref, generation, request_id, data FROM events
    WHERE type = 'desired_state.changed' AND key_ref = ANY(${alone.map(({ key_ref }) => key_ref)}::uuid[])
      AND generation = ANY(${alone.map(({ generation }) => generation)}::int[])`;
  return rows.map((row) => {
    const intent = alone.includes(row) && intents.find((one) => isOfSameIntent(one, row));
    if (!intent) return row;
    const { origin } = intent.data as { origin: string };
    return { ...row, revision_origin: origin, revision_request_id: intent.request_id };
  });
}

function isOfSameIntent(one: Pick<Row, 'key_ref' | 'generation'>, other: Row): boolean {
  return one.key_ref === other.key_ref && one.generation === other.generation;
}

/**
 * One page of a key's events, newest first, also when the key's record is gone.
 * @throws ProblemError not-found for an id that never was a key's, malformed-request.
 */
export async function listKeyEvents(
  services: Recorded,
  id: string,
  query: EventQuery,
  access: Access,
): Promise<Page<Event>> {
  if (!isUuid(id)) throw keyNotFound(id);
  const page = await listEvents(services, { ...query, key: id }, access);
  if (page.items.length === 0 && (await isUnknown(services, id))) throw keyNotFound(id);
  return page;
}

async function isUnknown({ database: { prisma } }: Recorded, id: string): Promise<boolean> {
  if ((await prisma.key.findUnique({ where: { id }, select: { id: true } })) !== null) return false;
  return (await prisma.event.findFirst({ where: { key_ref: id }, select: { seq: true } })) === null;
}

/** Whether an event goes back to the request that its generation goes back to. */
function isOfRevision(type: EventType, { cause }: { [member: string]: Json }): boolean {
  return !type.startsWith('drift.') && cause !== 'provider';
}

/** A KMS write goes back to the request whose generation it serves; what has to do with drift, to none. */
function toEvent(row: Row): Event {
  const data = row.data as { [member: string]: Json };
  const type = row.type as EventType;
  const origin = typeof data['origin'] === 'string' ? data['origin'] : row.revision_origin;
  return {
    id: row.seq.toString(),
    type,
    key: row.key_ref,
    provider: row.provider,
    generation: row.generation,
    origin: eventOrigin(type, origin),
    actor: row.actor,
    on_behalf_of: row.on_behalf_of,
    address: row.address,
    user_agent: row.user_agent,
    request_id: requestOf(row, data),
    ...beforeAndAfter(type, data),
    data,
    created_at: row.created_at.toISOString(),
  };
}

function requestOf(row: Row, data: { [member: string]: Json }): string | null {
  // What adopts drift has no request, though its revision says so in a word of its own.
  if (data['origin'] === 'drift') return null;
  return row.request_id ?? (isOfRevision(row.type as EventType, data) ? row.revision_request_id : null);
}

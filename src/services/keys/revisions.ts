/** The desired states of a key by generation. */
import type { Revision as RevisionRow } from '../../database/client.ts';
import type { TakenAlias } from '../../domain/aliases.ts';
import { isUuid } from '../../domain/uuid.ts';
import type { PageQuery, Revision } from '../../schemas/history.ts';
import type { Services } from '../context.ts';
import { type Page, readPage } from '../history/pages.ts';
import { keyNotFound } from '../problems.ts';
import { declaredIn } from '../rows/declared.ts';
import { lookUpKey } from './find.ts';

/**
 * One page of a key's revisions, newest first. They outlive the record of a key that was deleted or released.
 * @throws ProblemError not-found, malformed-request.
 */
export async function listRevisions(services: Services, id: string, query: PageQuery): Promise<Page<Revision>> {
  if (!isUuid(id)) throw keyNotFound(id);
  const { items, nextCursor } = await readPage<RevisionRow>(
    `the revisions of ${id}`,
    query,
    ({ generation }) => generation,
    (take, below) => {
      const older = below === null ? {} : { generation: { lt: Number(below > maximum ? maximum : below) } };
      const where = { key_ref: id, ...older };
      return services.database.prisma.revision.findMany({ where, orderBy: { generation: 'desc' }, take });
    },
  );
  if (items.length === 0 && (await isUnknown(services, id))) throw keyNotFound(id);
  return { items: items.map(toRevision), nextCursor };
}

/** Of a generation. */
const maximum = 2_147_483_647n;

async function isUnknown(services: Services, id: string): Promise<boolean> {
  return (await lookUpKey(services, id)) === undefined && !(await hasHistory(services, id));
}

/** Whether a key of that id is, or was, on record. */
export async function hasHistory({ database }: Services, id: string): Promise<boolean> {
  return (await database.prisma.revision.findFirst({ where: { key_ref: id } })) !== null;
}

/** How the last record of that id ended; null: it has not, or KMS deleted its key. */
export async function lastEndOf({ database }: Services, id: string): Promise<'key.released' | 'key.removed' | null> {
  const ends = { key_ref: id, type: { in: ['key.released', 'key.removed'] } };
  const last = await database.prisma.event.findFirst({ where: ends, orderBy: { seq: 'desc' } });
  return last === null ? null : (last.type as 'key.released' | 'key.removed');
}

/** The ARN of the KMS key that the last record of that id was released from; null: it did not end so. */
export async function releasedArnOf({ database }: Services, id: string): Promise<string | null> {
  const ends = { key_ref: id, type: { in: ['key.released', 'key.removed', 'key.deleted'] } };
  const last = await database.prisma.event.findFirst({ where: ends, orderBy: { seq: 'desc' } });
  return last?.type === 'key.released' ? (last.data as { arn: string | null }).arn : null;
}

/** A revision, or null. */
export function findRevision(services: Services, keyId: string, generation: number): Promise<RevisionRow | null> {
  const where = { key_ref_generation: { key_ref: keyId, generation } };
  return services.database.prisma.revision.findUnique({ where });
}

/** What an earlier run of the same command had recorded when it was cut off before it answered; null: nothing. */
export async function findEarlierRun(
  services: Services,
  { commandId }: { commandId?: string | undefined },
): Promise<RevisionRow | null> {
  if (commandId === undefined) return null;
  return services.database.prisma.revision.findUnique({ where: { command_id: commandId } });
}

/** What a command took of other keys' aliases for this one, in whichever of its runs. */
export async function takenBy(
  services: Services,
  keyId: string,
  { commandId, requestId }: { commandId?: string | undefined; requestId: string },
): Promise<TakenAlias[]> {
  const run = commandId === undefined ? { request_id: requestId } : { command_id: commandId };
  const where = { key_ref: keyId, ...run };
  const revision = await services.database.prisma.revision.findFirst({ where, orderBy: { generation: 'desc' } });
  return (revision?.aliases_taken as TakenAlias[] | null | undefined) ?? [];
}

function toRevision(row: RevisionRow): Revision {
  return {
    generation: row.generation,
    origin: row.origin as Revision['origin'],
    actor: row.actor,
    on_behalf_of: row.on_behalf_of,
    request_id: row.request_id,
    changes: row.changes as Revision['changes'],
    desired: declaredIn(row),
    outcome: row.outcome as Revision['outcome'],
    error: row.error === null ? null : ({ operation: null, ...(row.error as object) } as Revision['error']),
    created_at: row.created_at.toISOString(),
    settled_at: row.settled_at?.toISOString() ?? null,
  };
}

/** Tells whether keys are held, and what differs from what the database last recorded. */
import { type Database, Prisma } from '../../database/client.ts';
import { keyTables } from '../../database/columns.ts';
import type { Access } from '../../domain/access.ts';
import type { FoundAfterGap } from '../../domain/recorded.ts';
import type { HeldKey, HeldKeyQuery, Recovery } from '../../schemas/recovery.ts';
import { decodeCursor, encodeCursor, uuidForm } from '../cursors.ts';
import { lastGap } from '../rows/due.ts';
import { withinLimits } from '../visibility.ts';

const standardLimit = 50;
const gap = Prisma.raw(lastGap);

type Counted = {
  since: Date | null;
  reason: string | null;
  total: number;
  held: number;
  checked: number;
  differing: number;
};

/** The state of the recovery, as of now, as far as it is about keys that the caller may see. */
export async function showRecovery({ database }: { database: Database }, access: Access): Promise<Recovery> {
  const [counted] = await database.prisma.$queryRaw<Counted[]>`
    SELECT (SELECT since FROM installation), (SELECT reason FROM installation), count(*)::int AS total,
      (count(*) FILTER (WHERE gap_seen < ${gap}))::int AS held,
      (count(*) FILTER (WHERE greatest(gap_seen, gap_checked) >= ${gap}))::int AS checked,
      (count(*) FILTER (WHERE gap_seen < ${gap} AND gap_checked >= ${gap}))::int AS differing
    FROM ${Prisma.raw(keyTables)} WHERE state <> 'deleted' AND ${withinLimits(access.limitsOf('keys:read'))}`;
  const { since, reason, total, held, checked, differing } = counted as Counted;
  const isHeld = held > 0;
  return {
    held: isHeld,
    reason: isHeld ? reason : null,
    since: isHeld ? (since?.toISOString() ?? null) : null,
    keys_total: total,
    keys_checked: checked,
    keys_differing: differing,
  };
}

type Row = { id: string; arn: string | null; provider: string; checked: boolean; gap_found: FoundAfterGap | null };

/** One page of the keys that are held. @throws ProblemError malformed-request for a cursor that no page gave. */
export async function listHeldKeys(
  { database }: { database: Database },
  query: HeldKeyQuery,
): Promise<{ items: HeldKey[]; nextCursor: string | null }> {
  const limit = query.limit ?? standardLimit;
  const after =
    query.cursor === undefined
      ? Prisma.empty
      : Prisma.sql`AND id > ${decodeCursor(query.cursor, 'held keys', uuidForm)}::uuid`;
  const rows = await database.prisma.$queryRaw<Row[]>`
    SELECT id, arn, keys.provider, gap_checked >= ${gap} AS checked, gap_found FROM ${Prisma.raw(keyTables)}
    WHERE gap_seen < ${gap} AND state <> 'deleted' ${after} ORDER BY id LIMIT ${limit + 1}`;
  const items = rows.slice(0, limit).map(({ gap_found: found, ...key }): HeldKey => {
    return { ...key, differences: key.checked ? (found?.differences ?? []) : [] };
  });
  const last = items.at(-1);
  return { items, nextCursor: rows.length > limit && last !== undefined ? encodeCursor('held keys', last.id) : null };
}

/** The lease of one key, as its row in `work` has it. Times are PostgreSQL's, so that the clocks of the workers need not agree. */
import { type Database, Prisma, type Transaction } from '../../database/client.ts';
import { type Gap, isDue, lastGap } from './due.ts';
import type { KeyRow } from './key-row.ts';
import { findRowIn } from './read.ts';

export type LeaseTaken = {
  row: KeyRow;
  /** Its last holder fell silent. */
  isTakeover: boolean;
  /** When the key was due before. */
  dueBefore: Date | null;
  /** The number of the last gap. */
  gap: number;
};

/**
 * Takes the lease of a key, unless another holds it. The key is due when the lease is over, so that it is taken over then:
 * it may have been woken long before its time.
 * @param onlyDue where the key must be due; null: it need not be.
 * @returns null when it is held, or not due, or there is no such key.
 */
export async function takeLease(
  { prisma }: Pick<Database, 'prisma'>,
  { id, token, milliseconds }: { id: string; token: string; milliseconds: number },
  onlyDue: Gap | null,
): Promise<LeaseTaken | null> {
  const isToBeTaken = Prisma.raw(onlyDue === null ? 'true' : isDue(onlyDue));
  const [taken] = await prisma.$queryRaw<{ is_takeover: boolean; due_before: Date | null; last_gap: number }[]>`
    UPDATE work
    SET lease_token = ${token}::uuid, lease_until = now() + ${milliseconds} * interval '1 millisecond',
      due_at = least(work.due_at, now() + ${milliseconds} * interval '1 millisecond')
    FROM (SELECT key_ref, lease_token, due_at FROM work WHERE key_ref = ${id}::uuid AND ${isToBeTaken} FOR UPDATE) AS before
    WHERE work.key_ref = before.key_ref AND (work.lease_until IS NULL OR work.lease_until < now())
    RETURNING before.lease_token IS NOT NULL AS is_takeover, before.due_at AS due_before, ${Prisma.raw(lastGap)} AS last_gap`;
  if (taken === undefined) return null;
  // Read afterwards: a statement that has waited for the lease would show what was declared before it did.
  const row = await findRowIn(prisma, id);
  if (row === null || row.lease_token !== token) return null;
  const { is_takeover: isTakeover, due_before: dueBefore, last_gap: gap } = taken;
  return { row, isTakeover, dueBefore, gap };
}

/** @returns whether the lease is still there. */
export async function renewLease(
  { prisma }: Pick<Database, 'prisma'>,
  { id, token, milliseconds }: { id: string; token: string; milliseconds: number },
): Promise<boolean> {
  const count = await prisma.$executeRaw`
    UPDATE work SET lease_until = now() + ${milliseconds} * interval '1 millisecond'
    WHERE key_ref = ${id}::uuid AND lease_token = ${token}::uuid`;
  return count > 0;
}

/** Takes a lease back that was perhaps recorded, and the writes that were, which surely were not sent. */
export async function takeBackUnsent(
  { pool }: Pick<Database, 'pool'>,
  { id, token }: { id: string; token: string },
): Promise<void> {
  await pool.query(
    `WITH unsent AS (
      UPDATE kms_writes SET outcome = 'skipped', finished_at = clock_timestamp()
      WHERE outcome IS NULL AND lease_token = $1::uuid
        AND key_ref IN (SELECT key_ref FROM work WHERE key_ref = $2::uuid AND lease_token = $1::uuid))
    UPDATE work SET lease_token = NULL, lease_until = NULL, due_at = now() WHERE key_ref = $2::uuid AND lease_token = $1::uuid`,
    [token, id],
  );
}

/** Whether a lease is there and its key not held back by a gap: SQL, for a statement that writes the journal. */
export function mayWrite({ keyId, token }: { keyId: string; token: string }): Prisma.Sql {
  return Prisma.sql`EXISTS (SELECT 1 FROM work WHERE work.key_ref = ${keyId}::uuid AND work.lease_token = ${token}::uuid
    AND work.gap_seen >= ${Prisma.raw(lastGap)})`;
}

/**
 * Marks a key as having open writes, for the holder of its lease.
 * @param unlessHeld not where the key is held back by a gap: a worker that has not noticed it writes nothing either.
 * @returns whether it could be done.
 */
export async function openWrites(
  transaction: Transaction,
  { keyId, token }: { keyId: string; token: string },
  { unlessHeld }: { unlessHeld: boolean },
): Promise<boolean> {
  const isFree = Prisma.raw(unlessHeld ? `gap_seen >= ${lastGap}` : 'true');
  const count = await transaction.$executeRaw`
    UPDATE work SET writes_open = true WHERE key_ref = ${keyId}::uuid AND lease_token = ${token}::uuid AND ${isFree}`;
  return count > 0;
}

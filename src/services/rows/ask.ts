/** What is asked of a key beside a change of what is declared: it is due at once. */
import { Prisma, type Transaction } from '../../database/client.ts';
import type { WokenKey } from '../../database/notifications.ts';
import { lastGap } from './due.ts';
import type { KeyRow } from './key-row.ts';

/** Asks that the record's former keys are looked after. */
export async function askForFormerKeys(transaction: Transaction, id: string): Promise<void> {
  await transaction.$executeRaw`
    UPDATE work SET asked = asked + 1, former_keys_open = true, due_at = now() WHERE key_ref = ${id}::uuid`;
}

/**
 * Asks for the replicas that waited for a primary key to be made, in the order of their ids.
 * @returns them, for their wake-ups.
 */
export async function askForReplicas(
  transaction: Transaction,
  id: string,
): Promise<(WokenKey & { creator: string })[]> {
  const waiting = await transaction.key.findMany({
    where: { replica_of: id, key_id: null },
    select: { id: true, provider: true, key_id: true, replica_of: true, lifecycle: true },
    orderBy: { id: 'asc' },
  });
  const asked = [];
  for (const replica of waiting) {
    const [work] = await transaction.$queryRaw<{ creator: string | null }[]>`
      UPDATE work SET asked = asked + 1, attempts = 0, due_at = now() WHERE key_ref = ${replica.id}::uuid RETURNING creator`;
    asked.push({ ...replica, creator: work?.creator ?? '' });
  }
  return asked;
}

/** What is asked: a look, one that puts KMS right whatever the drift policy says, or an errand, which comes with a look. */
type Asked = 'look' | 'enforce' | 'errand';

/** @returns the number of the look that answers; null: there is no such key. */
export async function ask(transaction: Transaction, id: string, what: Asked): Promise<number | null> {
  const isLook = what === 'look';
  const isEnforcing = what === 'enforce';
  const [asked] = await transaction.$queryRaw<Pick<KeyRow, 'requested_observation'>[]>`
    UPDATE work
    SET asked = asked + 1, requested_observation = requested_observation + 1,
      enforce_through = CASE WHEN ${isEnforcing} THEN requested_observation + 1 ELSE enforce_through END,
      errands_open = errands_open OR ${what === 'errand'},
      gap_seen = CASE WHEN ${isLook} THEN gap_seen ELSE ${Prisma.raw(lastGap)} END,
      due_at = least(due_at, now())
    WHERE key_ref = ${id}::uuid
    RETURNING requested_observation`;
  return asked?.requested_observation ?? null;
}

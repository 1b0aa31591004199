/** What is asked of a key beside a change of what is declared: it is due at once. */
import { Prisma, type Transaction } from '../../database/client.ts';
import { lastGap } from './due.ts';
import type { KeyRow } from './key-row.ts';

/** Asks that the record's former keys are looked after. */
export async function askForFormerKeys(transaction: Transaction, id: string): Promise<void> {
  await transaction.$executeRaw`
    UPDATE work SET asked = asked + 1, former_keys_open = true, due_at = now() WHERE key_ref = ${id}::uuid`;
}

/** What is asked: a look, one that puts KMS right whatever the drift policy says, or writes of their own, which come with a look. */
type Asked = 'look' | 'enforce' | 'rotate' | 'end-grant';

/** @returns the number of the look that answers; null: there is no such key. */
export async function ask(transaction: Transaction, id: string, what: Asked): Promise<number | null> {
  const isLook = what === 'look';
  const isEnforcing = what === 'enforce';
  const [asked] = await transaction.$queryRaw<Pick<KeyRow, 'requested_observation'>[]>`
    UPDATE work
    SET asked = asked + 1, requested_observation = requested_observation + 1,
      enforce_through = CASE WHEN ${isEnforcing} THEN requested_observation + 1 ELSE enforce_through END,
      rotations_open = rotations_open OR ${what === 'rotate'},
      grants_open = grants_open OR ${what === 'end-grant'},
      gap_seen = CASE WHEN ${isLook} THEN gap_seen ELSE ${Prisma.raw(lastGap)} END,
      due_at = least(due_at, now())
    WHERE key_ref = ${id}::uuid
    RETURNING requested_observation`;
  return asked?.requested_observation ?? null;
}

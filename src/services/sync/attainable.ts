/** What is declared of a key and no call can make of it: refused with a change, and told of a key that has become such. */
import type { KeyRow } from '../../database/client.ts';
import { unattainable } from '../../domain/refusals.ts';
import type { DesiredKey, ObservedKey } from '../../domain/types.ts';
import { KmsFailure } from '../../kms/errors.ts';
import type { SyncError } from '../../schemas/key.ts';
import type { Aim } from './aims.ts';
import { isHeld } from './drift.ts';

/** @throws KmsFailure that refuses a change which asks for the impossible, before anything of it is carried out. */
export function assertAttainable(aim: Aim, row: KeyRow, desired: DesiredKey, observed: ObservedKey | null): void {
  if (aim !== 'enforce' || isHeld(row) || observed === null) return;
  const [refusal] = unattainable(desired, observed);
  if (refusal !== undefined) throw new KmsFailure('refused', refusal.code, refusal.detail, refusal.operation, true);
}

/** The error of a key that has become one which can't be as it is declared; null: it can. */
export function outOfReach(row: KeyRow, desired: DesiredKey, observed: ObservedKey): SyncError | null {
  const [refusal] = isHeld(row) ? unattainable(desired, observed) : [];
  if (refusal === undefined) return null;
  const message = `${refusal.detail} Set ${refusal.field} to false.`;
  const { code, operation } = refusal;
  return { code, message, operation, retryable: false, attempts: 1, next_attempt_at: null };
}

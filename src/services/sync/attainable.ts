/** What is declared of a key and no call can make of it: refused with a change, and told of a key that has become such. */

import { immutableDifferences } from '../../domain/comparison.ts';
import { unattainable } from '../../domain/refusals.ts';
import type { DesiredKey, ObservedKey } from '../../domain/types.ts';
import { KmsFailure } from '../../kms/errors.ts';
import type { SyncError } from '../../schemas/key.ts';
import type { KeyRow } from '../rows/key-row.ts';
import { isNewlyMade, isSynced } from '../rows/predicates.ts';
import type { SyncMode } from './mode.ts';

/** @throws KmsFailure that refuses a change which asks for the impossible, before anything of it is carried out. */
export function assertAttainable(mode: SyncMode, row: KeyRow, desired: DesiredKey, observed: ObservedKey | null): void {
  if (mode !== 'enforce' || isSynced(row) || observed === null) return;
  const [refusal] = unattainable(desired, observed);
  if (refusal !== undefined) throw new KmsFailure('refused', refusal.code, refusal.detail, refusal.operation, true);
}

/** The code of the error of a key that KMS has made otherwise than it was asked to. */
export const immutableFieldDiffers = 'ImmutableFieldDiffers';

/**
 * Holds that the key which was made for this generation is the one that was asked for.
 * @throws KmsFailure that refuses the generation; no key is deleted for it.
 */
export function assertAsAsked(row: KeyRow, desired: DesiredKey, observed: ObservedKey | null): void {
  if (!isNewlyMade(row) || observed === null) return;
  const message = immutableWords(desired, observed);
  if (message !== null) throw new KmsFailure('refused', immutableFieldDiffers, message, 'CreateKey', true);
}

function immutableWords(desired: DesiredKey, observed: ObservedKey): string | null {
  if (desired.lifecycle !== 'managed') return null;
  const words = immutableDifferences(desired, observed).map((field) => {
    return `${field} is ${JSON.stringify(observed[field])}, not ${JSON.stringify(desired[field])} as declared`;
  });
  return words.length === 0
    ? null
    : `${words.join('; ')}. KMS fixed that when it made ${observed.arn}, which is left as it is.`;
}

/** The code of the error of a primary key whose deletion waits for its replicas. */
export const waitsForReplicas = 'WaitsForReplicas';

/** The error of a key that has become one which can't be as it is declared, or is not yet; null: it can. */
export function outOfReach(row: KeyRow, desired: DesiredKey, observed: ObservedKey): SyncError | null {
  const never = { retryable: false, attempts: 1, next_attempt_at: null };
  const fixed = immutableWords(desired, observed);
  if (fixed !== null) return { code: immutableFieldDiffers, message: fixed, operation: 'CreateKey', ...never };
  if (row.lifecycle === 'pending_deletion' && observed.key_state === 'PendingReplicaDeletion') {
    const message = `KMS deletes the key when its replicas are gone, after ${desired.deletion_window_in_days} days more: ${observed.replica_arns.join(', ')}. Delete them too, or restore the key.`;
    return { ...never, code: waitsForReplicas, message, operation: 'ScheduleKeyDeletion', retryable: true };
  }
  const [refusal] = isSynced(row) ? unattainable(desired, observed) : [];
  if (refusal === undefined) return null;
  const message = `${refusal.detail} Set ${refusal.field} to false.`;
  const { code, operation } = refusal;
  return { code, message, operation, ...never };
}

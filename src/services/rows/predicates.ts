/** What a key's rows say of it. */
import type { KeyRow } from './key-row.ts';

/**
 * Whether KMS was made to hold the desired state: what differs now was changed by somebody else, but for what a write of
 * unknown outcome may have changed (`writes_open`).
 */
export function isSynced({ generation, synced_generation }: Pick<KeyRow, 'generation' | 'synced_generation'>): boolean {
  return generation === synced_generation;
}

/** Whether nothing is to be written to KMS for the key. It follows from numbers: a gap marks no row. */
export function isHeldBack({ gap_seen }: Pick<KeyRow, 'gap_seen'>, gap: number): boolean {
  return gap_seen < gap;
}

/** Whether somebody has asked for a look that is still to come. */
export function isLookAskedFor(row: Pick<KeyRow, 'requested_observation' | 'served_observation'>): boolean {
  return row.requested_observation > row.served_observation;
}

/** Whether somebody has asked that KMS is put right, whatever the drift policy says. */
export function isEnforcingAskedFor(row: Pick<KeyRow, 'enforce_through' | 'served_observation'>): boolean {
  return row.enforce_through > row.served_observation;
}

/** Whether a key of the record's is one that was made for the generation at hand, which KMS does not hold yet. */
export function isNewlyMade({ synced_generation, replacement, lifecycle }: KeyRow): boolean {
  return (synced_generation === 0 || replacement === 'begun') && lifecycle === 'managed';
}

/** Whether the key is gone from KMS for good, as far as is known, and the record says so. */
export function isLost(row: Pick<KeyRow, 'state' | 'key_state' | 'key_id'>): boolean {
  return row.state === 'failed' && row.key_state === null && row.key_id !== null;
}

/** Whether KMS was taken to have lost the key, by what is on record: whatever is being done about it since. */
export function isKnownLost(row: Pick<KeyRow, 'key_id' | 'key_state' | 'observed'>): boolean {
  return row.key_id !== null && row.key_state === null && row.observed !== null;
}

/** The state to show from the moment a change is recorded until KMS holds it. */
export function stateWhileSyncing(
  row: Pick<KeyRow, 'key_id'>,
  declared: Pick<KeyRow, 'lifecycle'>,
): 'pending_deletion' | 'creating' | 'updating' {
  if (declared.lifecycle === 'pending_deletion') return 'pending_deletion';
  return row.key_id === null ? 'creating' : 'updating';
}

/** What KMS's KeyState says, and what it does not. Source: AWS KMS developer guide, "Key states of AWS KMS keys". */
import type { KeyState } from './values.ts';

/**
 * Whether a key in this state is enabled. null: the state does not tell, as while the key is updated, waits for its key
 * material or its deletion, or its key store is away; nor does one that is not known here.
 */
export function enabledIn(state: KeyState): boolean | null {
  if (state === 'Enabled') return true;
  return state === 'Disabled' ? false : null;
}

/** Whether KMS has the key's deletion on its calendar. */
export function isPendingDeletion({ key_state }: { key_state: KeyState }): boolean {
  return key_state === 'PendingDeletion' || key_state === 'PendingReplicaDeletion';
}

/** Whether something is wrong with a key for being in this state: it can't be used, and won't be by itself. */
export function isOutOfUse(key: { key_state: KeyState }): boolean {
  return isPendingDeletion(key) || key.key_state === 'Unavailable' || key.key_state === 'PendingImport';
}

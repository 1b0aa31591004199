/**
 * States that a key shows for a while, whatever its own is: those in which KMS does not tell whether it is enabled. Source: AWS
 * KMS developer guide, "Key states of AWS KMS keys".
 */
import { invalidState } from './errors.ts';

export const forcibleStates = ['Creating', 'Updating', 'Unavailable', 'PendingImport'] as const;
type State = (typeof forcibleStates)[number];

export type ForcedState = {
  /** Of the key that shows it, or `*`. */
  key_id: string;
  state: State;
  /** How many reads see it; absent: all. */
  reads?: number;
  /** For how long it is seen; absent: for ever. */
  seconds?: number;
};

type Placed = { forced: ForcedState; until: number; readsLeft: number };

/** What KMS refuses to do in a state. */
const refused: Record<State, RegExp> = {
  Creating: /^(EnableKey|DisableKey|.*KeyRotation|RotateKeyOnDemand|ScheduleKeyDeletion|ReplicateKey)$/,
  Updating: /^(EnableKey|DisableKey|.*KeyRotation|RotateKeyOnDemand|ScheduleKeyDeletion|ReplicateKey)$/,
  Unavailable: /^(EnableKeyRotation|DisableKeyRotation|RotateKeyOnDemand)$/,
  PendingImport: /^(EnableKey|DisableKey|RotateKeyOnDemand)$/,
};

const words: Record<State, string> = {
  Creating: 'is creating.',
  Updating: 'is updating.',
  Unavailable: 'is unavailable.',
  PendingImport: 'is pending import.',
};

export class ForcedStates {
  #placed: Placed[] = [];

  set states(states: ForcedState[]) {
    const now = performance.now();
    this.#placed = states.map((forced) => ({
      forced,
      until: forced.seconds === undefined ? Number.POSITIVE_INFINITY : now + forced.seconds * 1000,
      readsLeft: forced.reads ?? Number.POSITIVE_INFINITY,
    }));
  }

  /** @throws KmsError KMSInvalidStateException for what the state that a key shows does not allow. */
  assertAllowed(operation: string, key: string | null): void {
    const state = key === null ? undefined : this.#find(key)?.forced.state;
    if (state !== undefined && refused[state].test(operation)) throw invalidState(`${key} ${words[state]}`);
  }

  /** An answer with KeyMetadata, as it is while the key shows another state. */
  shown(answer: object): object {
    const { KeyMetadata: metadata } = answer as { KeyMetadata?: { KeyId: string; KeyState: string } };
    if (metadata === undefined) return answer;
    const placed = this.#find(metadata.KeyId);
    if (placed === undefined) return answer;
    placed.readsLeft -= 1;
    return { KeyMetadata: { ...metadata, KeyState: placed.forced.state, Enabled: false } };
  }

  #find(key: string): Placed | undefined {
    const id = key.replace(/^.*:key\//, '');
    const now = performance.now();
    return this.#placed.find(
      ({ forced, until, readsLeft }) => (forced.key_id === '*' || forced.key_id === id) && until > now && readsLeft > 0,
    );
  }
}

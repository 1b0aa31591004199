/**
 * States that a key shows for a while, whatever its own is: those in which KMS does not tell whether it is enabled. Source: AWS
 * KMS developer guide, "Key states of AWS KMS keys", "Create multi-Region replica keys" and "Change the primary key in a set of
 * multi-Region keys".
 */
import { invalidState } from './errors.ts';
import { keyArn } from './keys.ts';
import type { Place } from './store.ts';

export const forcibleStates = ['Creating', 'Updating', 'Unavailable', 'PendingImport'] as const;
type State = (typeof forcibleStates)[number];

export type ForcedState = {
  /** The id or the ARN of the key that shows it, or `*`. */
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
  Creating:
    /^(EnableKey|DisableKey|.*KeyRotation|RotateKeyOnDemand|ScheduleKeyDeletion|ReplicateKey|UpdatePrimaryRegion|Encrypt|Decrypt|ReEncrypt|GenerateDataKey.*|Sign|Verify|GenerateMac|VerifyMac|DeriveSharedSecret)$/,
  Updating:
    /^(EnableKey|DisableKey|.*KeyRotation|RotateKeyOnDemand|ScheduleKeyDeletion|ReplicateKey|UpdatePrimaryRegion)$/,
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
  #passing: Placed[] = [];
  multiRegionSeconds = 0;

  set states(states: ForcedState[]) {
    this.#placed = states.map(place);
  }

  /** What ReplicateKey and UpdatePrimaryRegion leave behind for a while. @param key the ARN of the key that was named. */
  follow(operation: string, { account }: Place, key: string | null, parameters: Record<string, unknown>): void {
    if (this.multiRegionSeconds === 0 || key === null) return;
    const keyId = key.replace(/^.*:key\//, '');
    const inRegion = (region: unknown) => keyArn({ account, region: String(region) }, keyId);
    const show = (state: State, arns: string[]) => {
      const placed = arns.map((arn) => place({ key_id: arn, state, seconds: this.multiRegionSeconds }));
      this.#passing = [...this.#passing.filter(isLeft), ...placed];
    };
    if (operation === 'ReplicateKey') show('Creating', [inRegion(parameters['ReplicaRegion'])]);
    if (operation === 'UpdatePrimaryRegion') show('Updating', [key, inRegion(parameters['PrimaryRegion'])]);
  }

  /** @throws KmsError KMSInvalidStateException for what the state that a key shows does not allow. */
  assertAllowed(operation: string, key: string | null): void {
    const state = key === null ? undefined : this.#find(key)?.forced.state;
    if (state !== undefined && refused[state].test(operation)) throw invalidState(`${key} ${words[state]}`);
  }

  /** An answer with KeyMetadata, as it is while the key shows another state. */
  shown(answer: object): object {
    const { KeyMetadata: metadata } = answer as { KeyMetadata?: Metadata };
    if (metadata === undefined) return answer;
    const placed = this.#find(metadata.Arn);
    if (placed === undefined) return answer;
    placed.readsLeft -= 1;
    const { state } = placed.forced;
    const shown = { ...metadata, KeyState: state, Enabled: false };
    const isSwapping = state === 'Updating' && this.#passing.includes(placed);
    return { KeyMetadata: isSwapping ? asReplica(shown) : shown };
  }

  #find(key: string): Placed | undefined {
    const id = key.replace(/^.*:key\//, '');
    const isMeant = ({ forced }: Placed) => ['*', id, key].includes(forced.key_id);
    return [...this.#placed, ...this.#passing].find((placed) => isMeant(placed) && isLeft(placed));
  }
}

type Metadata = { Arn: string; MultiRegionConfiguration?: object };

/** While the primary Region is updated, the old and the new primary key may both be shown as replicas. */
function asReplica(metadata: Metadata): Metadata {
  const { MultiRegionConfiguration } = metadata;
  return { ...metadata, MultiRegionConfiguration: { ...MultiRegionConfiguration, MultiRegionKeyType: 'REPLICA' } };
}

function place(forced: ForcedState): Placed {
  const { seconds, reads } = forced;
  const until = seconds === undefined ? Number.POSITIVE_INFINITY : performance.now() + seconds * 1000;
  return { forced, until, readsLeft: reads ?? Number.POSITIVE_INFINITY };
}

function isLeft({ until, readsLeft }: Placed): boolean {
  return until > performance.now() && readsLeft > 0;
}

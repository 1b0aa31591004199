/** Request quotas: each account and Region has its own for each operation. Off unless asked for. */
import { KmsError } from './errors.ts';
import type { Place } from './store.ts';

/** Requests a second. Source: AWS KMS developer guide, "Request quotas". */
export const standardQuotas: Readonly<Record<string, number>> = {
  CancelKeyDeletion: 5,
  ConnectCustomKeyStore: 5,
  CreateAlias: 5,
  CreateCustomKeyStore: 5,
  CreateKey: 5,
  DeleteAlias: 15,
  DeleteCustomKeyStore: 5,
  DescribeCustomKeyStores: 5,
  DescribeKey: 2000,
  DisableKey: 5,
  DisableKeyRotation: 5,
  DisconnectCustomKeyStore: 5,
  EnableKey: 5,
  EnableKeyRotation: 15,
  GetKeyPolicy: 1000,
  GetKeyRotationStatus: 1000,
  ListAliases: 500,
  ListKeyPolicies: 100,
  ListKeyRotations: 100,
  ListKeys: 500,
  ListResourceTags: 2000,
  PutKeyPolicy: 15,
  ReplicateKey: 5,
  RotateKeyOnDemand: 5,
  ScheduleKeyDeletion: 15,
  TagResource: 10,
  UntagResource: 5,
  UpdateAlias: 5,
  UpdateCustomKeyStore: 5,
  UpdateKeyDescription: 5,
  UpdatePrimaryRegion: 5,
};

/** Off; the standard ones; or the standard ones but for some operations. */
export type QuotaSetting = boolean | Record<string, number>;

type Bucket = { tokens: number; at: number };

/** A token bucket for each operation: it holds the requests of one second and is filled evenly. */
export class Quotas {
  setting: QuotaSetting = false;
  readonly #buckets = new Map<string, Bucket>();

  /** @throws KmsError ThrottlingException when the operation is over its quota. */
  spend({ account, region }: Place, operation: string): void {
    const rate = this.#rateOf(operation);
    if (rate === undefined) return;
    const name = `${account}/${region}/${operation}`;
    const now = performance.now();
    const { tokens, at } = this.#buckets.get(name) ?? { tokens: rate, at: now };
    const filled = Math.min(rate, tokens + ((now - at) / 1000) * rate);
    this.#buckets.set(name, { tokens: filled >= 1 ? filled - 1 : filled, at: now });
    if (filled < 1) throw throttling();
  }

  #rateOf(operation: string): number | undefined {
    if (this.setting === false) return undefined;
    return this.setting === true ? standardQuotas[operation] : (this.setting[operation] ?? standardQuotas[operation]);
  }
}

export function throttling(): KmsError {
  return new KmsError(
    'ThrottlingException',
    'You have exceeded the rate at which you may call KMS. Reduce the frequency of your calls.',
  );
}

/** Request quotas: each account and Region has its own for each operation. Off unless asked for. */
import { standardQuotas } from '../../domain/request-quotas.ts';
import { KmsError } from './errors.ts';
import type { Place } from './store.ts';

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

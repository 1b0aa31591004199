/**
 * Keys that KMS is to make, waiting for their turn in its quota (I12). Nothing is taken for them meanwhile: no hand, no lease, no row
 * of the journal. So a thousand creates hold up no change of another kind, and each is made as soon as its turn has come.
 */
import { KmsFailure } from '../../kms/errors.ts';
import { NotSent } from '../../kms/permit.ts';
import type { Quotas } from '../../kms/quotas.ts';
import type { Services } from '../context.ts';
import { accessTo } from '../providers/access.ts';
import type { Hands } from './hands.ts';

export class Turns {
  readonly #services: Services;
  readonly #hands: Hands;
  /** The provider of each. */
  readonly #waiting = new Map<string, string>();

  constructor(services: Services, hands: Hands) {
    this.#services = services;
    this.#hands = hands;
  }

  /** Whether the key waits here: there is no need to wake anybody for it. */
  isWaiting(keyId: string): boolean {
    return this.#waiting.has(keyId);
  }

  /** Has a key synced when its CreateKey may be sent. A key that waits already goes on waiting. */
  async take(keyId: string, provider: string): Promise<void> {
    if (this.#waiting.has(keyId)) return;
    this.#waiting.set(keyId, provider);
    try {
      const quotas = await this.#quotasOf(provider);
      await quotas?.take('CreateKey');
      await this.#hands.take(keyId, { prepaid: quotas });
    } catch (error) {
      // This process stops: another takes the key up, which stays due.
      if (!(error instanceof NotSent)) this.#services.log.warn({ err: error, key: keyId }, 'could not take a key up');
    } finally {
      this.#waiting.delete(keyId);
    }
  }

  /** What waits goes by the quotas of its provider as they are now: somebody may have changed them. */
  async followQuotas(): Promise<void> {
    for (const provider of new Set(this.#waiting.values())) await this.#quotasOf(provider);
  }

  /** @returns null when KMS can't be asked: the key's own sync says so. */
  async #quotasOf(provider: string): Promise<Quotas | null> {
    try {
      return (await accessTo(this.#services, provider)).kms.quotas;
    } catch (error) {
      if (error instanceof KmsFailure) return null;
      throw error;
    }
  }
}

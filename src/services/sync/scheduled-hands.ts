/** The hands for what the calendar asks for. Each provider has its own: work that waits for one's quotas keeps none of another's. */
import type { Services } from '../context.ts';
import type { Seen } from './engine.ts';
import { Hands } from './hands.ts';

/** Keys of a provider that wait for a hand. Further ones are left to the next look for what is due. */
const mostWaiting = 25;

export class ScheduledHands {
  readonly #services: Services;
  readonly #count: number;
  readonly #ofProvider = new Map<string, Hands>();

  /** @param count hands of each provider. */
  constructor(services: Services, count: number) {
    this.#services = services;
    this.#count = count;
  }

  /** Has a key synced, unless many are waiting for that: it stays due then. */
  offer(provider: string, keyId: string): void {
    const hands = this.#of(provider);
    if (hands.waiting < mostWaiting) void hands.take(keyId);
  }

  /** Has a key synced. @param seen what was just observed of it. */
  take(provider: string, keyId: string, seen: Seen | undefined): void {
    void this.#of(provider).take(keyId, seen === undefined ? {} : { seen });
  }

  /** Somebody waits for this key now. */
  hurry(keyId: string): void {
    for (const hands of this.#ofProvider.values()) hands.hurry(keyId);
  }

  /** Takes no more, and waits for what is in hand, at most so long. */
  async empty(graceMilliseconds: number): Promise<void> {
    await Promise.all([...this.#ofProvider.values()].map((hands) => hands.empty(graceMilliseconds)));
  }

  #of(provider: string): Hands {
    const hands = this.#ofProvider.get(provider) ?? new Hands(this.#services, this.#count, { isInteractive: false });
    this.#ofProvider.set(provider, hands);
    return hands;
  }
}

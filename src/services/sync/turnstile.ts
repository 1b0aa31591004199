/** Keys that KMS is to make, waiting for their turn in its quotas (I12): nothing else is taken for them meanwhile. */
import { NotSent } from '../../kms/permit.ts';
import type { Turn } from '../../kms/quotas.ts';
import { Turns } from './turns.ts';

type Ways = {
  /** Waits for the turns that the making of one key takes; none where KMS can't be asked: each key's own sync says so. */
  take(): Promise<Turn[]>;
  /** Goes on with a key whose turns have come. */
  begin(keyId: string, prepaid: Turn[]): Promise<void>;
  onError(error: unknown): void;
};

export class Turnstile {
  readonly #waiting = new Turns();
  readonly #ways: Ways;
  #isOpen = false;

  constructor(ways: Ways) {
    this.#ways = ways;
  }

  get size(): number {
    return this.#waiting.size;
  }

  /** @param owner who asked for the key: each owner's have their turn. */
  add(owner: string, keyId: string): void {
    this.#waiting.add(owner, keyId);
    void this.#let();
  }

  clear(): void {
    this.#waiting.clear();
  }

  /** Takes the turns first, and then a key: as many as have come meanwhile. */
  async #let(): Promise<void> {
    if (this.#isOpen) return;
    this.#isOpen = true;
    try {
      while (this.#waiting.size > 0) {
        const prepaid = await this.#ways.take();
        const keyId = this.#waiting.take();
        if (keyId === undefined) return giveBack(prepaid);
        await this.#ways.begin(keyId, prepaid);
      }
    } catch (error) {
      // This process stops: others take the keys up, which stay due. So does this one, should it be for another reason.
      this.#waiting.clear();
      if (!(error instanceof NotSent)) this.#ways.onError(error);
    } finally {
      this.#isOpen = false;
    }
  }
}

/** Gives back turns that were not used. */
export function giveBack(turns: readonly Turn[]): void {
  for (const { operation, quotas } of turns) quotas.giveBack(operation);
}

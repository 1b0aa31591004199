/** The keys that this process syncs. What somebody waits for has hands of its own, which the calendar never fills. */
import type { Quotas } from '../../kms/quotas.ts';
import { Urgency, withUrgency } from '../../kms/urgency.ts';
import type { Place, Services } from '../context.ts';
import { type HowTaken, syncKey } from './engine.ts';
import { Places } from './places.ts';

/**
 * Keys that are being synced or wait for KMS's quotas meanwhile. A hand whose key waits takes another: fifty creates that
 * wait for their turn keep no change of another kind from being made.
 */
const mostAtOnce = 200;

type Sync = Parameters<Place['run']>[0];

export class Hands {
  readonly #services: Services;
  readonly #isInteractive: boolean;
  readonly #places: Places;
  readonly #busy = new Map<string, { urgency: Urgency; sync: Promise<void> }>();
  readonly #queued = new Set<string>();

  constructor(services: Services, count: number, { isInteractive }: { isInteractive: boolean }) {
    this.#services = services;
    this.#isInteractive = isInteractive;
    this.#places = new Places(count);
  }

  /**
   * Begins to sync a key, once a hand is free. A key in hand sees by itself what is new.
   * @param prepaid the quotas in which the turn of its CreateKey has come; it is given back when that is not sent.
   */
  async take(keyId: string, { prepaid = null, ...how }: HowTaken & { prepaid?: Quotas | null } = {}): Promise<void> {
    if (this.#queued.has(keyId)) return prepaid?.giveBack('CreateKey');
    this.#queued.add(keyId);
    const isGiven = await this.#places.take();
    this.#queued.delete(keyId);
    if (isGiven) this.#begin(keyId, prepaid, (services) => syncKey(services, keyId, how));
  }

  /** A hand for a key of which an intent is about to be recorded, if one is free; else null. @param prepaid as above. */
  takeAtOnce(keyId: string, prepaid: Quotas | null): Place | null {
    if (!this.#places.takeAtOnce()) return null;
    return {
      run: (sync) => this.#begin(keyId, prepaid, sync),
      giveBack: () => {
        this.#places.giveBack();
        prepaid?.giveBack('CreateKey');
      },
    };
  }

  #begin(keyId: string, prepaid: Quotas | null, work: Sync): void {
    const lend = this.#isInteractive && this.#busy.size < mostAtOnce;
    const lender = lend ? this.#places.lender() : null;
    const urgency = new Urgency(this.#isInteractive, lender, prepaid === null ? null : 'CreateKey');
    const sync = withUrgency(urgency, () => this.#sync(keyId, work)).finally(() => {
      if (urgency.usePrepaid('CreateKey')) prepaid?.giveBack('CreateKey');
      if (this.#busy.get(keyId)?.urgency === urgency) this.#busy.delete(keyId);
      this.#places.giveBack();
    });
    if (!this.#busy.has(keyId)) this.#busy.set(keyId, { urgency, sync });
  }

  /** Whether any hand is at work. One whose key waits for KMS's quotas is not. */
  get isBusy(): boolean {
    return this.#places.isInUse;
  }

  /** How many keys wait for a hand. */
  get waiting(): number {
    return this.#places.waiting;
  }

  /** Somebody waits for this key now: if it is in hand, what is left of its sync goes before scheduled work. */
  hurry(keyId: string): void {
    const inHand = this.#busy.get(keyId);
    if (inHand !== undefined) inHand.urgency.isInteractive = true;
  }

  /** Takes no more, and waits for what is in hand, at most so long. */
  async empty(graceMilliseconds: number): Promise<void> {
    this.#places.close();
    const timeIsUp = new Promise((resolve) => setTimeout(resolve, graceMilliseconds).unref());
    await Promise.race([Promise.all([...this.#busy.values()].map(({ sync }) => sync)), timeIsUp]);
  }

  /** What goes wrong here is an error of Keyward or of the database: the sweep brings the key back. */
  async #sync(keyId: string, work: Sync): Promise<void> {
    const start = performance.now();
    const { metrics, log } = this.#services;
    try {
      await work(this.#services);
      metrics.sync('done', (performance.now() - start) / 1000);
    } catch (error) {
      metrics.sync('broke_off', (performance.now() - start) / 1000);
      log.error({ err: error, key: keyId }, 'sync broke off');
    }
  }
}

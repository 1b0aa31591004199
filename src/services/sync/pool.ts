/** The keys of one provider that this process syncs at once. What somebody waits for has a pool of its own, which the calendar never fills. */
import type { Turn } from '../../kms/quotas.ts';
import { Urgency, withUrgency } from '../../kms/urgency.ts';
import type { Services, Slot } from '../context.ts';
import { type HowTaken, syncKey } from './engine.ts';
import { Semaphore } from './semaphore.ts';
import { giveBack } from './turnstile.ts';

/**
 * Keys that are being synced or wait for KMS's quotas meanwhile. A slot whose key waits goes to another: fifty creates that
 * wait for their turn keep no change of another kind from being made.
 */
const mostAtOnce = 200;

type Sync = Parameters<Slot['run']>[0];

export class SyncPool {
  readonly #services: Services;
  readonly #isInteractive: boolean;
  readonly #slots: Semaphore;
  readonly #busy = new Map<string, { urgency: Urgency; sync: Promise<void> }>();
  readonly #queued = new Set<string>();

  constructor(services: Services, count: number, { isInteractive }: { isInteractive: boolean }) {
    this.#services = services;
    this.#isInteractive = isInteractive;
    this.#slots = new Semaphore(count);
  }

  /**
   * Begins to sync a key, once a slot is free. A key that is being synced sees by itself what is new.
   * @param prepaid the turns that have come for its making; they are given back when it is not sent.
   */
  async add(keyId: string, { prepaid = [], ...how }: HowTaken & { prepaid?: Turn[] } = {}): Promise<void> {
    if (this.#queued.has(keyId)) return giveBack(prepaid);
    this.#queued.add(keyId);
    const isGiven = await this.#slots.acquire();
    this.#queued.delete(keyId);
    if (!isGiven) return giveBack(prepaid);
    this.#begin(keyId, prepaid, (services) => syncKey(services, keyId, how));
  }

  /** A slot for a key of which an intent is about to be recorded, if one is free; else null. @param prepaid as above. */
  reserve(keyId: string, prepaid: Turn[]): Slot | null {
    if (!this.#slots.tryAcquire()) return null;
    return {
      run: (sync) => this.#begin(keyId, prepaid, sync),
      release: () => {
        this.#slots.release();
        giveBack(prepaid);
      },
    };
  }

  #begin(keyId: string, prepaid: Turn[], work: Sync): void {
    const isReleased = this.#isInteractive && this.#busy.size < mostAtOnce;
    const aroundWait = isReleased ? this.#slots.releasedWhile() : null;
    const operations = prepaid.map(({ operation }) => operation);
    const urgency = new Urgency(this.#isInteractive, aroundWait, operations);
    const sync = withUrgency(urgency, () => this.#sync(keyId, work)).finally(() => {
      giveBack(prepaid.filter(({ operation }) => urgency.usePrepaid(operation)));
      if (this.#busy.get(keyId)?.urgency === urgency) this.#busy.delete(keyId);
      this.#slots.release();
    });
    if (!this.#busy.has(keyId)) this.#busy.set(keyId, { urgency, sync });
  }

  /** Whether any key is being synced. One whose key waits for KMS's quotas is not. */
  get isBusy(): boolean {
    return this.#slots.isInUse;
  }

  /** How many keys wait for a slot. */
  get waiting(): number {
    return this.#slots.waiting;
  }

  /** Somebody waits for this key now: if it is being synced, what is left of its sync goes before scheduled work. */
  hurry(keyId: string): void {
    const busy = this.#busy.get(keyId);
    if (busy !== undefined) busy.urgency.isInteractive = true;
  }

  /** Takes no more, and waits for what is being synced, at most so long. */
  async empty(graceMilliseconds: number): Promise<void> {
    this.#slots.close();
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

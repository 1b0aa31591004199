/**
 * The keys of one provider that this process is to sync. Nobody's queue holds another's. It knows ids alone, as told by a
 * notification or a look at what is due: who syncs a key, and whether that is still to be done, its lease decides.
 */
import { KmsFailure } from '../../kms/errors.ts';
import { NotSent } from '../../kms/permit.ts';
import type { Quotas } from '../../kms/quotas.ts';
import type { Services, Slot } from '../context.ts';
import { accessTo } from '../providers/access.ts';
import { SyncPool } from './pool.ts';
import { Refresher } from './refresh.ts';
import { Turns } from './turns.ts';

/** Keys that wait for a slot on schedule. */
const mostWaiting = 200;

export class ProviderQueue {
  /** Keys that somebody waits for. */
  readonly interactive: SyncPool;
  /** Keys that are due for another reason. */
  readonly scheduled: SyncPool;
  readonly #services: Services;
  readonly #provider: string;
  readonly #refresher: Refresher;
  /**
   * Keys that KMS is to make, waiting for their turn in its quota (I12). Nothing is taken for them meanwhile: no slot, no lease,
   * no row of the journal. So a thousand creates hold up no change of another kind; nor those of one caller the creates of another.
   */
  readonly #creations = new Turns();
  #isCreating = false;
  #isFollowing = false;

  /** @param concurrency keys synced at once because somebody waits; half as many on schedule. */
  constructor(services: Services, provider: string, concurrency: number) {
    this.#services = services;
    this.#provider = provider;
    this.interactive = new SyncPool(services, concurrency, { isInteractive: true });
    this.scheduled = new SyncPool(services, Math.ceil(concurrency / 2), { isInteractive: false });
    this.#refresher = new Refresher(services, provider, this);
  }

  /** Has a key synced that somebody waits for. @param creator who asked for it, where KMS is to make it; else null. */
  take(keyId: string, creator: string | null): void {
    if (creator === null) return void this.interactive.add(keyId);
    this.#creations.add(creator, keyId);
    void this.#create();
  }

  /** As `reserveSlot` of the services. */
  reserveSlot(keyId: string, quotas: Quotas | null): Slot | null {
    if (quotas !== null && (this.#creations.size > 0 || !quotas.takeAtOnce('CreateKey'))) return null;
    const slot = this.interactive.reserve(keyId, quotas);
    if (slot === null) quotas?.giveBack('CreateKey');
    return slot;
  }

  /** Has a key synced that is due, unless many are waiting for that: it stays due then. */
  offer(keyId: string): void {
    if (this.scheduled.waiting < mostWaiting) void this.scheduled.add(keyId);
  }

  /** Somebody waits for a key now: what this process has begun to do with it by the calendar is to make way. */
  async hurry(keyId: string): Promise<void> {
    this.scheduled.hurry(keyId);
    if (await this.#refresher.giveUp(keyId)) void this.interactive.add(keyId);
  }

  /** Looks at the keys of which only that is due, until none is. Asked again meanwhile, it is the same work. */
  refresh(): void {
    void this.#refresher.drain();
  }

  /** What waits goes by the quotas of its provider as they are now: somebody may have changed them. */
  followQuotas(): void {
    if (this.#creations.size === 0 || this.#isFollowing) return;
    this.#isFollowing = true;
    this.#quotas()
      .catch((error) => this.#services.log.debug({ err: error, provider: this.#provider }, 'could not read the quotas'))
      .finally(() => {
        this.#isFollowing = false;
      });
  }

  /** Takes no more keys, and waits for those that are being synced, at most so long. */
  async stop(graceMilliseconds: number): Promise<void> {
    this.#creations.clear();
    const timeIsUp = new Promise((resolve) => setTimeout(resolve, graceMilliseconds).unref());
    await Promise.all([
      this.interactive.empty(graceMilliseconds),
      this.scheduled.empty(graceMilliseconds),
      Promise.race([this.#refresher.stop(), timeIsUp]),
    ]);
  }

  /** Takes the quota's token first, and then a key: as many as have come meanwhile. */
  async #create(): Promise<void> {
    if (this.#isCreating) return;
    this.#isCreating = true;
    try {
      while (this.#creations.size > 0) {
        const quotas = await this.#quotas();
        await quotas?.take('CreateKey');
        const keyId = this.#creations.take();
        if (keyId === undefined) return quotas?.giveBack('CreateKey');
        await this.interactive.add(keyId, { prepaid: quotas });
      }
    } catch (error) {
      // This process stops: others take the keys up, which stay due. So does this one, should it be for another reason.
      this.#creations.clear();
      if (!(error instanceof NotSent)) {
        this.#services.log.warn({ err: error, provider: this.#provider }, 'could not take up keys that are to be made');
      }
    } finally {
      this.#isCreating = false;
    }
  }

  /** @returns null when KMS can't be asked: each key's own sync says so. */
  async #quotas(): Promise<Quotas | null> {
    try {
      return (await accessTo(this.#services, this.#provider)).kms.quotas;
    } catch (error) {
      if (error instanceof KmsFailure) return null;
      throw error;
    }
  }
}

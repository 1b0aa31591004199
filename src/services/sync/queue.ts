/**
 * The keys of one provider that this process is to sync. Nobody's queue holds another's. It knows ids alone, as told by a
 * notification or a look at what is due: who syncs a key, and whether that is still to be done, its lease decides.
 */
import { KmsFailure } from '../../kms/errors.ts';
import { type Quotas, type Turn, turnsElsewhere } from '../../kms/quotas.ts';
import type { Services, Slot } from '../context.ts';
import { lookUpKey } from '../keys/find.ts';
import { accessTo } from '../providers/access.ts';
import { SyncPool } from './pool.ts';
import { Refresher } from './refresh.ts';
import { giveBack, Turnstile } from './turnstile.ts';

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
  readonly #creations: Turnstile;
  /** The same of replicas, by the provider of their primary keys, whose quota they wait for: those of one hold up no others. */
  readonly #replications = new Map<string, Turnstile>();
  #isFollowing = false;

  /** @param concurrency keys synced at once because somebody waits; half as many on schedule. */
  constructor(services: Services, provider: string, concurrency: number) {
    this.#services = services;
    this.#provider = provider;
    this.interactive = new SyncPool(services, concurrency, { isInteractive: true });
    this.scheduled = new SyncPool(services, Math.ceil(concurrency / 2), { isInteractive: false });
    this.#refresher = new Refresher(services, provider, this);
    this.#creations = this.#turnstile([[provider, ['CreateKey']]]);
  }

  /**
   * Has a key synced that somebody waits for.
   * @param creator who asked for it, where KMS is to make it; else null.
   * @param replicaOf the record of its primary key, of a replica; else null.
   */
  take(keyId: string, creator: string | null, replicaOf: string | null): void {
    if (creator === null) return void this.interactive.add(keyId);
    if (replicaOf === null) this.#creations.add(creator, keyId);
    else this.#replicate(keyId, creator, replicaOf).catch((error) => this.#tell(error));
  }

  /** One whose primary key is still to be made takes no turn: its sync says so. */
  async #replicate(keyId: string, creator: string, replicaOf: string): Promise<void> {
    const primary = await lookUpKey(this.#services, replicaOf);
    if (primary === undefined || primary.key_id === null || primary.synced_generation === 0) {
      return this.interactive.add(keyId);
    }
    const { provider } = primary;
    const turnstile =
      this.#replications.get(provider) ??
      this.#turnstile([
        [provider, ['ReplicateKey']],
        [this.#provider, turnsElsewhere.ReplicateKey],
      ]);
    this.#replications.set(provider, turnstile);
    turnstile.add(creator, keyId);
  }

  /** @param taken what the making of a key takes of the quotas of which providers. */
  #turnstile(taken: [provider: string, operations: string[]][]): Turnstile {
    return new Turnstile({
      take: async () => {
        const turns: Turn[] = [];
        for (const [provider, operations] of taken) {
          const quotas = await this.#quotas(provider);
          for (const operation of quotas === null ? [] : operations) {
            await quotas?.take(operation);
            if (quotas !== null) turns.push({ operation, quotas });
          }
        }
        return turns;
      },
      begin: (keyId, prepaid) => this.interactive.add(keyId, { prepaid }),
      onError: (error) => this.#tell(error),
    });
  }

  #tell(error: unknown): void {
    const message = 'could not take up keys that are to be made';
    this.#services.log.warn({ err: error, provider: this.#provider }, message);
  }

  /** As `reserveSlot` of the services. */
  reserveSlot(keyId: string, quotas: Quotas | null): Slot | null {
    if (quotas !== null && (this.#creations.size > 0 || !quotas.takeAtOnce('CreateKey'))) return null;
    const prepaid = quotas === null ? [] : [{ operation: 'CreateKey', quotas }];
    const slot = this.interactive.reserve(keyId, prepaid);
    if (slot === null) giveBack(prepaid);
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
    const waiting = [...this.#replications].filter(([, { size }]) => size > 0).map(([provider]) => provider);
    if ((this.#creations.size === 0 && waiting.length === 0) || this.#isFollowing) return;
    this.#isFollowing = true;
    Promise.all([this.#provider, ...waiting].map((provider) => this.#quotas(provider)))
      .catch((error) => this.#services.log.debug({ err: error, provider: this.#provider }, 'could not read the quotas'))
      .finally(() => {
        this.#isFollowing = false;
      });
  }

  /** Takes no more keys, and waits for those that are being synced, at most so long. */
  async stop(graceMilliseconds: number): Promise<void> {
    for (const turnstile of [this.#creations, ...this.#replications.values()]) turnstile.clear();
    const timeIsUp = new Promise((resolve) => setTimeout(resolve, graceMilliseconds).unref());
    await Promise.all([
      this.interactive.empty(graceMilliseconds),
      this.scheduled.empty(graceMilliseconds),
      Promise.race([this.#refresher.stop(), timeIsUp]),
    ]);
  }

  /** @returns null when KMS can't be asked: each key's own sync says so. */
  async #quotas(provider: string): Promise<Quotas | null> {
    try {
      return (await accessTo(this.#services, provider)).kms.quotas;
    } catch (error) {
      if (error instanceof KmsFailure) return null;
      throw error;
    }
  }
}

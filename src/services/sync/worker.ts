/** Takes wake-ups from the queue and syncs the keys they name, several at once. */
import type { Job } from 'pg-boss';
import { type SyncJob, syncQueue } from '../../database/queue.ts';
import type { Services } from '../context.ts';
import { syncKey } from './engine.ts';

/** Milliseconds between looks for keys that are due. */
const sweepInterval = 1000;
/** How many due keys one look wakes. */
const sweepBatch = 500;

export type Worker = {
  /** Takes no more keys, and waits for those in hand, at most so long. */
  stop(graceMilliseconds: number): Promise<void>;
};

/**
 * Starts to work. A job is done as soon as its key is taken in hand: that the key gets synced, also after a crash, is
 * in its row (`due_at` and the lease), which the sweep reads.
 * @param concurrency keys synced at once by this process.
 */
export async function startWorker(services: Services, concurrency: number): Promise<Worker> {
  const hands = new Hands(services, concurrency);
  const { boss } = services.queue;
  await boss.work<SyncJob>(
    syncQueue,
    { batchSize: concurrency, burstWhenBatchFull: true, pollingIntervalSeconds: 1, notifyPollingIntervalSeconds: 5 },
    async (jobs: Job<SyncJob>[]) => {
      for (const { data } of jobs) await hands.take(data.id);
    },
  );
  let stopping = false;
  const sweep = async () => {
    try {
      await wakeDueKeys(services);
    } catch (error) {
      services.log.warn({ err: error }, 'could not look for keys that are due');
    }
    if (!stopping) timer = setTimeout(sweep, sweepInterval * (0.75 + Math.random() / 2));
  };
  let timer = setTimeout(sweep, 0);
  return {
    stop: async (graceMilliseconds) => {
      stopping = true;
      clearTimeout(timer);
      await boss.offWork(syncQueue, { wait: false });
      await hands.empty(graceMilliseconds);
    },
  };
}

async function wakeDueKeys(services: Services): Promise<void> {
  const due = await services.database.prisma.$queryRaw<{ id: string }[]>`
    SELECT id FROM keys
    WHERE due_at <= now() AND (lease_until IS NULL OR lease_until < now())
    ORDER BY due_at LIMIT ${sweepBatch}`;
  await services.queue.wakeAll(due.map(({ id }) => id));
}

/** The keys that this process is at. */
class Hands {
  readonly #services: Services;
  readonly #concurrency: number;
  readonly #busy = new Map<string, Promise<void>>();

  constructor(services: Services, concurrency: number) {
    this.#services = services;
    this.#concurrency = concurrency;
  }

  /** Begins to sync a key, once a hand is free. A key in hand sees by itself what is new. */
  async take(keyId: string): Promise<void> {
    while (this.#busy.size >= this.#concurrency) await Promise.race(this.#busy.values());
    const sync = this.#sync(keyId).finally(() => this.#busy.delete(keyId));
    this.#busy.set(keyId, sync);
  }

  async empty(graceMilliseconds: number): Promise<void> {
    const timeIsUp = new Promise((resolve) => setTimeout(resolve, graceMilliseconds).unref());
    await Promise.race([Promise.all(this.#busy.values()), timeIsUp]);
  }

  /** What goes wrong here is an error of Keyward or of the database: the sweep brings the key back. */
  async #sync(keyId: string): Promise<void> {
    const start = performance.now();
    const { metrics } = this.#services;
    try {
      await syncKey(this.#services, keyId);
      metrics.sync('done', (performance.now() - start) / 1000);
    } catch (error) {
      metrics.sync('broke_off', (performance.now() - start) / 1000);
      this.#services.log.error({ err: error, key: keyId }, 'sync broke off');
    }
  }
}

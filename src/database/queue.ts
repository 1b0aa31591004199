/** pg-boss on the same database: the queue of keys to sync, and notice of keys that changed. */
import { fromPrisma, PgBoss } from 'pg-boss';
import type { Transaction } from './client.ts';
import { lively, longestSilence } from './liveness.ts';

/** Keys that somebody waits for. */
export const syncQueue = 'key-sync';
/** Keys that are due for another reason. */
export const scheduledQueue = 'key-sync-scheduled';
/** Providers some of whose keys are due for a look. */
export const refreshQueue = 'key-refresh';
const changesChannel = 'keyward_key_changes';
/** Before the id of a key that was just recorded for the first time. */
const newKey = 'new:';

/** `creates`: the provider of a key that KMS is to make; undefined: it has one, or is to be looked for. */
export type SyncJob = { id: string; creates?: string };
/** The provider is that of the key. */
export type ScheduledJob = { id: string; provider: string };
export type RefreshJob = { provider: string };

export type Queue = {
  boss: PgBoss;
  /** Wakes the sync of a key when the transaction commits. A key that is queued already is not queued again. `creates` as in a job. */
  wake(transaction: Transaction, keyId: string, creates?: string): Promise<void>;
  /** The same outside a transaction, for several keys. */
  wakeAll(keys: SyncJob[]): Promise<void>;
  /** Wakes the syncs of keys that nobody waits for; those of higher priority first. */
  schedule(keys: (ScheduledJob & { priority: number })[]): Promise<void>;
  /** Wakes so many workers to refresh keys of these providers. */
  refresh(providers: { provider: string; workers: number }[]): Promise<void>;
  /** Calls back with the id of each key whose status changed, and with null when some may have been missed. */
  onKeyChange(listener: (keyId: string | null) => void): void;
  /** Calls back with the id of each key that any process has recorded for the first time, while it listened. */
  onNewKey(listener: (keyId: string) => void): void;
  /** Closes the queue. Its workers are to be stopped before. */
  stop(): Promise<void>;
};

/**
 * Starts pg-boss, which makes its tables on first use, and creates the queues.
 * `short` with a singletonKey keeps at most one job queued for each key. That one key is never synced twice at once is
 * the work of the lease in the key's row, not of the queue: a job is only a wake-up.
 */
export async function startQueue(connectionString: string, onError: (error: Error) => void): Promise<Queue> {
  const options = {
    ...lively,
    // Its pool is its own: a connection that does not answer is closed by this.
    query_timeout: longestSilence,
    connectionString,
    application_name: 'keyward-queue',
    max: 6,
    useListenNotify: true,
    schedule: true,
    superviseIntervalSeconds: 10,
    monitorIntervalSeconds: 10,
  };
  const boss = new PgBoss(options);
  boss.on('error', onError);
  await boss.start();
  for (const name of [syncQueue, scheduledQueue, refreshQueue]) {
    await boss.createQueue(name, {
      policy: 'short',
      notify: true,
      retryLimit: 0,
      heartbeatSeconds: 20,
      expireInSeconds: 600,
      retentionSeconds: 86_400,
      deleteAfterSeconds: 60,
    });
  }
  const listeners: ((keyId: string | null) => void)[] = [];
  const newKeyListeners: ((keyId: string) => void)[] = [];
  const tell = (payload: string | null) => {
    if (payload?.startsWith(newKey)) for (const listener of newKeyListeners) listener(payload.slice(newKey.length));
    else for (const listener of listeners) listener(payload);
  };
  const subscription = await listen(boss, tell);
  return {
    boss,
    wake: async (transaction, keyId, creates) => {
      const job: SyncJob = { id: keyId, ...(creates === undefined ? {} : { creates }) };
      await boss.send(syncQueue, job, { singletonKey: keyId, db: fromPrisma(transaction) });
    },
    wakeAll: async (keys) => {
      const jobs = keys.map((data) => ({ data, singletonKey: data.id }));
      if (jobs.length > 0) await boss.insert(syncQueue, jobs);
    },
    schedule: async (keys) => {
      const jobs = keys.map(({ id, provider, priority }) => ({
        data: { id, provider } satisfies ScheduledJob,
        singletonKey: id,
        priority,
      }));
      if (jobs.length > 0) await boss.insert(scheduledQueue, jobs);
    },
    refresh: async (providers) => {
      const jobs = providers.flatMap(({ provider, workers }) =>
        Array.from({ length: workers }, (_, index) => ({
          data: { provider } satisfies RefreshJob,
          singletonKey: `${provider}/${index}`,
        })),
      );
      if (jobs.length > 0) await boss.insert(refreshQueue, jobs);
    },
    onKeyChange: (listener) => listeners.push(listener),
    onNewKey: (listener) => newKeyListeners.push(listener),
    stop: async () => {
      await subscription.close();
      await boss.stop({ graceful: true, timeout: 2000, close: true });
    },
  };
}

async function listen(boss: PgBoss, tell: (keyId: string | null) => void) {
  const database = boss.getDb();
  if (database.listen === undefined) throw new Error('pg-boss offers no LISTEN on this database');
  return database.listen(
    changesChannel,
    (payload) => tell(payload),
    () => tell(null),
  );
}

/** Tells every process, when the transaction commits, that a key is new: there can be none in KMS. */
export async function announceNewKey(transaction: Transaction, keyId: string): Promise<void> {
  await transaction.$executeRaw`SELECT pg_notify(${changesChannel}, ${newKey + keyId})`;
}

/** Tells every process, when the transaction commits, that a key's status changed. */
export async function announceKeyChange(transaction: Transaction, keyId: string): Promise<void> {
  await transaction.$executeRaw`SELECT pg_notify(${changesChannel}, ${keyId})`;
}

/** Takes up the keys that are to be synced, as notifications and the rows tell: several at once, each provider's apart. */
import type { Services } from '../context.ts';
import { findDueKeys } from './due.ts';
import { ProviderQueue } from './queue.ts';

/** Milliseconds between looks for keys that are due. */
const sweepInterval = 1000;

export type Worker = Pick<Services, 'reserveSlot'> & {
  /** Takes no more keys, and waits for those that are being synced, at most so long. */
  stop(graceMilliseconds: number): Promise<void>;
};

/**
 * Starts to work. That a key gets synced, also after a crash, is in its row (`due_at` and the lease), which is looked at every
 * second; a notification only saves that second.
 * @param concurrency keys of a provider synced at once by this process because somebody waits; half as many on schedule.
 */
export function startWorker(services: Services, concurrency: number): Worker {
  const queues = new Map<string, ProviderQueue>();
  const queueOf = (provider: string) => {
    const queue = queues.get(provider) ?? new ProviderQueue(services, provider, concurrency);
    queues.set(provider, queue);
    return queue;
  };
  let isStopping = false;
  services.notifications.onWakeUp(({ id, provider, creator = null, replica_of = null }, isMine) => {
    if (isStopping) return;
    const queue = queueOf(provider);
    queue
      .hurry(id)
      .catch((error) => services.log.warn({ err: error, key: id }, 'could not give a key up'))
      .finally(() => isMine && queue.take(id, creator, replica_of));
  });
  const sweep = async () => {
    try {
      const { waitedFor, scheduled, plain } = await findDueKeys(services);
      for (const { id, provider, creator, replica_of } of waitedFor) queueOf(provider).take(id, creator, replica_of);
      for (const { id, provider, creator, replica_of } of scheduled) {
        if (creator !== null) queueOf(provider).take(id, creator, replica_of);
        else queueOf(provider).offer(id);
      }
      for (const provider of plain) queueOf(provider).refresh();
      for (const queue of queues.values()) queue.followQuotas();
      services.pulse?.beat();
    } catch (error) {
      services.log.warn({ err: error }, 'could not look for keys that are due');
    }
    if (!isStopping) timer = setTimeout(sweep, sweepInterval * (0.75 + Math.random() / 2));
  };
  let timer = setTimeout(sweep, 0);
  return {
    reserveSlot: (provider, keyId, quotas) => (isStopping ? null : queueOf(provider).reserveSlot(keyId, quotas)),
    stop: async (graceMilliseconds) => {
      isStopping = true;
      clearTimeout(timer);
      await Promise.all([...queues.values()].map((queue) => queue.stop(graceMilliseconds)));
    },
  };
}

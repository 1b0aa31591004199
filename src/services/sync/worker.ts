/** Takes wake-ups from the queues and syncs the keys they name, several at once. */
import { setTimeout as delay } from 'node:timers/promises';
import type { Job, WorkOptions } from 'pg-boss';
import {
  type RefreshJob,
  refreshQueue,
  type ScheduledJob,
  type SyncJob,
  scheduledQueue,
  syncQueue,
} from '../../database/queue.ts';
import type { Services } from '../context.ts';
import { wakeDueKeys } from './due.ts';
import { Hands } from './hands.ts';
import { batchSize, Refresher } from './refresh.ts';
import { ScheduledHands } from './scheduled-hands.ts';
import { Turns } from './turns.ts';

/** Milliseconds between looks for keys that are due. */
const sweepInterval = 1000;
/** Wake-ups of scheduled syncs taken from the queue at once: many are of providers whose hands are full. */
const scheduledBatch = 100;
/** Milliseconds for which a process that refreshes leaves further wake-ups to others. */
const refreshWakeUp = 2000;

export type Worker = {
  /** Takes no more keys, and waits for those in hand, at most so long. */
  stop(graceMilliseconds: number): Promise<void>;
};

/**
 * Starts to work. A job is done as soon as its key is taken in hand: that the key gets synced, also after a crash, is
 * in its row (`due_at` and the lease), which the sweep reads. Scheduled work has a queue and hands of its own, so that what
 * somebody waits for never queues behind it.
 * @param concurrency keys synced at once by this process because somebody waits; half as many of each provider on schedule.
 */
export async function startWorker(services: Services, concurrency: number): Promise<Worker> {
  const { boss } = services.queue;
  const urgent = new Hands(services, concurrency, { isInteractive: true });
  const scheduled = new ScheduledHands(services, Math.ceil(concurrency / 2));
  const refresher = new Refresher(services, { urgent, scheduled });
  const turns = new Turns(services, urgent);
  const takeUrgently = async ({ id, creates }: SyncJob) => {
    if (creates !== undefined) return void turns.take(id, creates);
    scheduled.hurry(id);
    await refresher.giveUp(id);
    await urgent.take(id);
  };
  await boss.work<SyncJob>(syncQueue, polling(concurrency), async (jobs: Job<SyncJob>[]) => {
    for (const { data } of jobs) await takeUrgently(data);
  });
  await boss.work<ScheduledJob>(scheduledQueue, polling(scheduledBatch), async (jobs: Job<ScheduledJob>[]) => {
    for (const { data } of jobs) scheduled.offer(data.provider, data.id);
  });
  await boss.work<RefreshJob>(refreshQueue, polling(1), async (jobs: Job<RefreshJob>[]) => {
    for (const { data } of jobs) await Promise.race([refresher.drain(data.provider), delay(refreshWakeUp)]);
  });
  // Another process has been woken for a key that is in hand here.
  services.queue.onKeyChange((keyId) => {
    if (keyId === null) return;
    scheduled.hurry(keyId);
    refresher
      .giveUp(keyId)
      .then((isGivenUp) => (isGivenUp ? urgent.take(keyId) : undefined))
      .catch((error) => services.log.warn({ err: error, key: keyId }, 'could not give a key up'));
  });
  let stopping = false;
  const sweep = async () => {
    try {
      await wakeDueKeys(services, batchSize, (keyId) => turns.isWaiting(keyId));
      await turns.followQuotas();
      services.pulse?.beat();
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
      for (const queue of [syncQueue, scheduledQueue, refreshQueue]) await boss.offWork(queue, { wait: false });
      const timeIsUp = delay(graceMilliseconds, undefined, { ref: false });
      await Promise.all([
        urgent.empty(graceMilliseconds),
        scheduled.empty(graceMilliseconds),
        Promise.race([refresher.stop(), timeIsUp]),
      ]);
    },
  };
}

function polling(batchSize: number): WorkOptions {
  return { batchSize, burstWhenBatchFull: true, pollingIntervalSeconds: 1, notifyPollingIntervalSeconds: 5 };
}

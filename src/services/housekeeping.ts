/** Work by the calendar, on one replica at a time: pg-boss keeps the schedule in the database. */
import type { Services } from './context.ts';
import { sweepRequests } from './idempotency.ts';
import { trimHistory } from './retention.ts';
import { sweepUnmanagedKeys } from './unmanaged/sweep.ts';

/** A cron expression in UTC, and what is done then. */
type Chore = { queue: string; cron: string; run: (services: Services) => Promise<void> };

const chores: Chore[] = [
  { queue: 'sweep-idempotent-requests', cron: '*/10 * * * *', run: sweepRequests },
  { queue: 'sweep-unmanaged-keys', cron: '17 * * * *', run: sweepUnmanagedKeys },
  { queue: 'trim-history', cron: '37 * * * *', run: trimHistory },
];

/** Has this process take part in the work by the calendar. */
export async function startHousekeeping(services: Services): Promise<void> {
  const { boss } = services.queue;
  for (const { queue, cron, run } of chores) {
    // At most one is queued and one runs, so that a chore that takes long is not piled up.
    await boss.createQueue(queue, { policy: 'stately', retryLimit: 0 });
    await boss.schedule(queue, cron);
    await boss.work(queue, () => run(services));
  }
}

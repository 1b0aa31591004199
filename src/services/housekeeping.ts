/** Work by the calendar. The row of each chore says when it is due: whoever moves that on does it. */
import { setTimeout as delay } from 'node:timers/promises';
import type { Services } from './context.ts';
import { extendChain } from './history/chain.ts';
import { sweepRequests } from './idempotency.ts';
import { trimHistory } from './retention.ts';
import { sweepUnmanagedKeys } from './unmanaged/sweep.ts';

/** `every`: seconds from the beginning of one run to the next. */
type Chore = { name: string; every: number; run: (services: Services) => Promise<void> };

const chores: Chore[] = [
  { name: 'sweep-idempotent-requests', every: 600, run: sweepRequests },
  { name: 'sweep-unmanaged-keys', every: 3600, run: sweepUnmanagedKeys },
  { name: 'chain-events', every: 30, run: (services) => extendChain(services) },
  { name: 'trim-history', every: 3600, run: trimHistory },
];

/** Milliseconds between looks for chores that are due. */
const lookInterval = 1000;
/** Milliseconds between two moves of a chore that is being done: one that takes long is not begun anew meanwhile. */
const renewal = 60_000;
/** Milliseconds for which a chore that is being done may hold up the end of the process. */
const stopGrace = 2000;

/** Has this process take part in the work by the calendar. */
export function startHousekeeping(services: Services): { stop(): Promise<void> } {
  const ending = new AbortController();
  let working: Promise<unknown> = Promise.resolve();
  const look = () => {
    working = doDueChores(services, ending.signal).finally(() => {
      if (!ending.signal.aborted) timer = setTimeout(look, lookInterval);
    });
  };
  let timer = setTimeout(look, lookInterval);
  return {
    stop: async () => {
      ending.abort();
      clearTimeout(timer);
      await Promise.race([working, delay(stopGrace, undefined, { ref: false })]);
    },
  };
}

async function doDueChores(services: Services, ending: AbortSignal): Promise<void> {
  try {
    const { rows } = await services.database.pool.query<{ name: string }>(
      'SELECT name FROM chores WHERE due_at <= now()',
    );
    for (const { name } of rows) {
      const chore = chores.find((known) => known.name === name);
      if (chore !== undefined && !ending.aborted) await doChore(services, chore);
    }
  } catch (error) {
    services.log.warn({ err: error }, 'could not look for chores that are due');
  }
}

async function doChore(services: Services, { name, every, run }: Chore): Promise<void> {
  const { pool } = services.database;
  const { rowCount } = await pool.query(
    `UPDATE chores SET due_at = now() + $2 * interval '1 second' WHERE name = $1 AND due_at <= now()`,
    [name, every],
  );
  if (rowCount === 0) return;
  const moveOn = () =>
    pool
      .query(`UPDATE chores SET due_at = now() + $2 * interval '1 second' WHERE name = $1`, [name, every])
      .catch((error) => services.log.debug({ err: error, chore: name }, 'could not tell that a chore goes on'));
  const timer = setInterval(moveOn, renewal);
  try {
    await run(services);
  } catch (error) {
    services.log.warn({ err: error, chore: name }, 'a chore failed: it is tried again at its next time');
  } finally {
    clearInterval(timer);
  }
}

/** The processes that are alive and call KMS: its request quotas are divided among them. */
import { randomUUID } from 'node:crypto';
import type { FastifyBaseLogger } from 'fastify';
import type { ClientBase, Pool } from 'pg';
import type { Config } from '../config.ts';
import { type Database, isDatabaseAway } from '../database/client.ts';
import type { Limiter } from '../kms/quotas.ts';
import type { GapWatch } from './recovery/watch.ts';

/** Milliseconds between two signs of life. */
const heartbeat = 2000;
/** Milliseconds of silence after which a process counts no more: it may miss two heartbeats. */
export const silence = 7000;
/** Milliseconds until every other process has noticed a new one. */
const noticed = heartbeat * 1.5;
/** When the row of a process that died is removed. */
const forgottenAfter = '10 minutes';
/** Milliseconds by which the last sign of life may be later than now: statements that wait begin early. */
const clockSlack = 5000;
/** Milliseconds after which everything is over that was being put on record: a transaction lasts ten seconds at most. */
const underWay = 12_000;
/** Milliseconds: what was under way when the clock was set back had begun no longer before it is dealt with once more. */
const longestAgo = 30_000;
/** The number of an advisory lock; any that nothing else uses. */
const joiningLock = 0x6b65_7977;

export type Membership = { leave(): Promise<void> };

type Counts = { readers: number; writers: number };

type Queryable = Pick<Pool | ClientBase, 'query'>;

type Fleet = {
  limiter: Limiter;
  watch: GapWatch;
  /**
   * Called when PostgreSQL's clock was set back, with the milliseconds; until it has succeeded once, again. And once more when
   * what was under way then is over: it may have put times to come on record by the clock of before. `from`: milliseconds from
   * now on in which no time to come was put on record by that clock.
   */
  onClockSetBack(client: Queryable, setBack: { by: number; from: number }): Promise<void>;
};

/** When a clock that was set back is to be dealt with once more, by performance.now(). */
type Echo = { setBack: number; at: number };

/**
 * Has this process count, and its limiter know of the others.
 * @throws when the database is away; later on, the limiter goes by what it last knew.
 */
export async function joinFleet(
  { pool }: Database,
  fleet: Fleet,
  role: Config['ROLE'],
  log: FastifyBaseLogger,
): Promise<Membership> {
  const { limiter, watch } = fleet;
  const me: [string, string, number] = [randomUUID(), role, silence];
  const echo: Echo = { setBack: 0, at: Number.POSITIVE_INFINITY };
  const counted = await joinPatiently(pool, fleet, echo, me);
  limiter.fleet = { ...counted, isJoining: counted.readers > 1 };
  let isLeaving = false;
  const beat = async () => {
    try {
      await watch.check(pool);
      await noticeClock(fleet, pool, echo);
      const { rows } = await pool.query<Counts>(signOfLife, me);
      if (rows[0] !== undefined) limiter.fleet = { ...rows[0], isJoining: false };
    } catch (error) {
      log.debug({ err: error }, 'could not tell that this process is alive');
    }
    if (!isLeaving) next(heartbeat);
  };
  let beating = Promise.resolve();
  let timer: NodeJS.Timeout | undefined;
  const next = (milliseconds: number) => {
    timer = setTimeout(() => {
      beating = beat();
    }, milliseconds);
  };
  next(noticed);
  return {
    leave: async () => {
      isLeaving = true;
      clearTimeout(timer);
      await beating;
      await pool
        .query('DELETE FROM workers WHERE id = $1', [me[0]])
        .catch((error) => log.debug({ err: error }, 'could not tell that this process ends'));
    },
  };
}

/** How often it is tried at the start, each time for as long as the pool waits for a connection. */
const joinAttempts = 6;

/** A machine on which much starts at once may be slow to connect. */
async function joinPatiently(pool: Pool, fleet: Fleet, echo: Echo, me: [string, ...unknown[]]): Promise<Counts> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await join(pool, fleet, echo, me);
    } catch (error) {
      if (attempt === joinAttempts || !isDatabaseAway(error)) throw error;
    }
  }
}

/** Of two processes that join at once, one sees the other. */
async function join(pool: Pool, fleet: Fleet, echo: Echo, me: [string, ...unknown[]]): Promise<Counts> {
  const client = await pool.connect();
  try {
    await client.query('BEGIN');
    await client.query('SELECT pg_advisory_xact_lock($1)', [joiningLock]);
    await client.query(`DELETE FROM workers WHERE heartbeat_at < now() - interval '${forgottenAfter}'`);
    await fleet.watch.join(client, pool, me[0]);
    await noticeClock(fleet, client, echo);
    const { rows } = await client.query<Counts>(signOfLife, me);
    await client.query('COMMIT');
    client.release();
    return rows[0] ?? { readers: 1, writers: 1 };
  } catch (error) {
    // With its transaction.
    client.release(true);
    throw error;
  }
}

/**
 * The last sign of life of any process is later than now where PostgreSQL's clock was set back since. What this one has put on
 * record by the clock of before is no older than its last look.
 */
async function noticeClock({ watch, onClockSetBack }: Fleet, client: Queryable, echo: Echo): Promise<void> {
  const setBack = Math.max(-watch.silence * 1000, watch.setBack);
  if (setBack > clockSlack) {
    await onClockSetBack(client, { by: setBack, from: 0 });
    // Set back again before that was dealt with once more, it is set back by both.
    const both = setBack + (echo.at === Number.POSITIVE_INFINITY ? 0 : echo.setBack);
    Object.assign(echo, { setBack: both, at: performance.now() + underWay });
  } else if (performance.now() > echo.at) {
    // What was put on record since, by the clock as it is, is not meant.
    await onClockSetBack(client, { by: echo.setBack, from: Math.max(0, echo.setBack - longestAgo) });
    echo.at = Number.POSITIVE_INFINITY;
  }
  watch.dealtWithSetBack();
}

/** A statement doesn't see the row that it writes itself: this process is counted apart. */
const signOfLife = `
  WITH own AS (
    INSERT INTO workers (id, role) VALUES ($1::uuid, $2)
    ON CONFLICT (id) DO UPDATE SET heartbeat_at = now(), beats = workers.beats + 1 RETURNING role
  ), known AS (
    UPDATE installation SET alive_at = now()
  ), others AS (
    SELECT role FROM workers WHERE id <> $1::uuid AND heartbeat_at > now() - $3 * interval '1 millisecond'
  )
  SELECT count(*)::int AS readers, (count(*) FILTER (WHERE role <> 'api'))::int AS writers
  FROM (SELECT role FROM own UNION ALL SELECT role FROM others) AS alive`;

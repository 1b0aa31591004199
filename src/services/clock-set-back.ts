/**
 * PostgreSQL's clock is set back: what it wrote of times to come is later than it was meant. A lease of a worker that died
 * would hold, and a call that has no answer could land, until the clock has come so far again.
 */
import type { ClientBase, Pool } from 'pg';
import { claimTime } from './idempotency.ts';
import { shortenImports } from './imports/rows/imports.ts';
import { shortenLeases } from './rows/clock.ts';
import { shortenErrands } from './rows/errands.ts';

export type TimesToCome = {
  /** Milliseconds for which a lease holds. */
  lease: number;
  /** Milliseconds in which a write lands, or never. */
  landsWithin: number;
  /** Milliseconds by which KMS's answers may be older than a write. */
  settle: number;
};

/** In milliseconds. `from`: no time to come that is nearer than that was put on record by the clock of before. */
export type SetBack = { by: number; from: number };

/**
 * Shortens every time to come to what it can be at most by the clock as it is now. Whoever holds a lease goes by a stopwatch
 * of its own, and renews it as before. Twice does no harm but that some keys are looked at early.
 */
export async function shortenTimesToCome(
  client: Pick<Pool | ClientBase, 'query'>,
  { lease, landsWithin, settle }: TimesToCome,
  setBack: SetBack,
): Promise<void> {
  await shortenLeases(client, { lease, setBack });
  await shortenImports(client, lease);
  await shortenErrands(client, landsWithin + settle);
  await client.query(statement, [landsWithin]);
}

const after = (parameter: number | string) => `now() + ${parameter}::float8 * interval '1 millisecond'`;

const statement = `
  WITH writes AS (
    UPDATE kms_writes SET lands_until = least(lands_until, ${after('$1')}),
      finished_at = CASE WHEN finished_at > now() THEN now() ELSE finished_at END
    WHERE lands_until > ${after('$1')} OR finished_at > now()
  ), requests AS (
    UPDATE idempotent_requests SET claimed_until = now() + ${claimTime} WHERE claimed_until > now() + ${claimTime}
  ), chores_due AS (
    UPDATE chores SET due_at = now() WHERE due_at > now() + interval '1 hour'
  )
  UPDATE workers SET heartbeat_at = now() WHERE heartbeat_at > now()`;

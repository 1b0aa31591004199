/** The last gap in the database's time, and until when what was under way then may land. */
import { Prisma, type Transaction } from '../../database/client.ts';
import { lastGap } from '../rows/due.ts';

/** The number of the last gap and the time by PostgreSQL's clock, in milliseconds since the epoch. */
export type GapAndTime = { gap: number; now: number };

/** Its columns. */
export const gapAndTime = `${lastGap} AS gap, extract(epoch FROM clock_timestamp())::float8 * 1000 AS now`;

/** The same by itself, in a transaction. */
export async function gapAndTimeIn(transaction: Pick<Transaction, '$queryRaw'>): Promise<GapAndTime> {
  const [row] = await transaction.$queryRaw<GapAndTime[]>`SELECT ${Prisma.raw(gapAndTime)}`;
  if (row === undefined) throw new Error('PostgreSQL does not tell the time');
  return row;
}

/**
 * Milliseconds until a search shows every key that was made before the gap was noticed: calls that were under way may land
 * until then, and reads be as old. Not above 0: it does.
 */
export async function timeUntilGapSettled(
  transaction: Pick<Transaction, '$queryRaw'>,
  times: { settle: number; write: { landsWithin: number } },
): Promise<number> {
  const [row] = await transaction.$queryRaw<{ left: number | null }[]>`
    SELECT extract(epoch FROM since - clock_timestamp())::float8 * 1000 AS left FROM installation`;
  if (row === undefined || row.left === null) return 0;
  return row.left + times.write.landsWithin + times.settle;
}

/** What one process of all does at a time. */
import type { Pool, PoolClient } from 'pg';

/**
 * Runs `work`, unless another process, or this one, is at it: the lock is that of a connection, and goes with it.
 * @param lock any number, the same in every process.
 * @param work runs on the connection that has the lock: without it, it gets no further.
 * @returns whether it ran.
 */
export async function whenAlone(
  pool: Pool,
  lock: number,
  work: (client: PoolClient) => Promise<void>,
): Promise<boolean> {
  const client = await pool.connect();
  let isSound = false;
  try {
    const { rows } = await client.query('SELECT pg_try_advisory_lock($1) AS taken', [lock]);
    if (rows[0].taken) {
      await work(client);
      await client.query('SELECT pg_advisory_unlock($1)', [lock]);
    }
    isSound = true;
    return rows[0].taken;
  } finally {
    client.release(!isSound);
  }
}

/** The times to come in keys' rows, after PostgreSQL's clock was set back. */
import type { ClientBase, Pool } from 'pg';
import { isPlain } from './due.ts';

const leaseEnds = "now() + $1::float8 * interval '1 millisecond'";

/**
 * A lease holds no longer than one that is taken now. A key that nobody waits for is looked at within its provider's interval; any
 * other as long after now as was meant.
 * @param lease milliseconds for which a lease holds.
 * @param setBack milliseconds; `from`: no time to come that is nearer was put on record by the clock of before.
 */
export async function shortenLeases(
  client: Pick<Pool | ClientBase, 'query'>,
  { lease, setBack }: { lease: number; setBack: { by: number; from: number } },
): Promise<void> {
  await client.query(
    `UPDATE work SET lease_until = CASE WHEN lease_until > ${leaseEnds} THEN ${leaseEnds} ELSE lease_until END,
      due_at = CASE
        WHEN (${isPlain}) IS NOT TRUE AND due_at <= now() + $3::float8 * interval '1 millisecond' THEN due_at
        WHEN (${isPlain}) IS NOT TRUE THEN greatest(now(), due_at - $2::float8 * interval '1 millisecond')
        ELSE now() + random() * refresh_interval_seconds * interval '1 second' END
    FROM keys, providers WHERE keys.id = work.key_ref AND providers.name = work.provider AND (
      lease_until > ${leaseEnds}
      OR due_at > now() + $3::float8 * interval '1 millisecond' AND (${isPlain}) IS NOT TRUE
      OR due_at > now() + 2 * refresh_interval_seconds * interval '1 second')`,
    [lease, setBack.by, setBack.from],
  );
}

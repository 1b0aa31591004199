/** What is on record of the keys that violations name, for whoever has to find out why. */
import type { Client } from 'pg';

const uuid = /[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}/g;

/** Events and writes in the order of time, a line each. */
export async function historiesIn(violations: string[], database: Client): Promise<string> {
  const ids = [...new Set(violations.join(' ').match(uuid) ?? [])];
  const { rows } = await database.query<{ line: string }>(
    `SELECT key_ref || ' ' || line AS line FROM (
       SELECT key_ref, created_at AS at,
         to_char(created_at, 'HH24:MI:SS.MS ') || type || ' ' || generation || ' ' || left(data::text, 200) AS line
         FROM events WHERE key_ref = ANY($1::uuid[]) AND type <> 'kms.write'
       UNION ALL
       SELECT key_ref, planned_at, to_char(planned_at, 'HH24:MI:SS.MS ') || operation || ' ' || generation || ' '
         || coalesce(outcome, 'open') || ' ' || coalesce(to_char(finished_at, 'HH24:MI:SS.MS'), '')
         || ' ' || lease_token || ' ' || left(parameters::text, 150) || coalesce(error::text, '')
         FROM kms_writes WHERE key_ref = ANY($1::uuid[])
     ) AS history ORDER BY key_ref, at`,
    [ids],
  );
  return rows.map(({ line }) => `    ${line}\n`).join('');
}

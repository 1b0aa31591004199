/** What a key's rows say of the keys that it has to do with. */
import { observedOf } from './declared.ts';
import type { KeyRow } from './key-row.ts';

/** What names the primary key of a replica: the id of its record, or else its ARN; null: the key is no replica. */
export function primaryNameOf(row: Pick<KeyRow, 'replica_of' | 'arn' | 'observed'>): string | null {
  if (row.replica_of !== null) return row.replica_of;
  const primary = observedOf(row)?.primary_arn ?? null;
  return primary === row.arn ? null : primary;
}

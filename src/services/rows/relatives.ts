/** What a key's rows say of the keys that it has to do with. */
import { observedOf } from './declared.ts';
import type { KeyRow } from './key-row.ts';

/** What names the primary key of a replica: the id of its record, or else its ARN; null: the key is no replica. */
export function primaryNameOf(row: Pick<KeyRow, 'replica_of' | 'arn' | 'observed'>): string | null {
  if (row.replica_of !== null) return row.replica_of;
  return primaryArnOf(row);
}

/** The ARN of the primary key, as KMS tells of the replica; null: it is none, or has not been seen yet. */
export function primaryArnOf(row: Pick<KeyRow, 'arn' | 'observed'>): string | null {
  const primary = observedOf(row)?.primary_arn ?? null;
  return primary === row.arn ? null : primary;
}

/** How KMS makes the key of a record. */
export function makingOf({ replica_of }: Pick<KeyRow, 'replica_of'>): 'CreateKey' | 'ReplicateKey' {
  return replica_of === null ? 'CreateKey' : 'ReplicateKey';
}

/** A replica's primary key in words for whoever may read the replica. */
export function primaryInWords(row: Pick<KeyRow, 'arn' | 'observed'>): string {
  const arn = primaryArnOf(row);
  return arn === null ? 'its primary key' : `its primary key, ${arn}`;
}

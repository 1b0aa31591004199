/** A key as the HTTP contract shows it. */
import type { KeyRow } from '../../database/client.ts';
import type { Key } from '../../schemas/key.ts';
import { declaredOf, driftOf, errorOf, observedOf } from './declared.ts';

/** The representation of a row. */
export function toKey(row: KeyRow): Key {
  const { lifecycle: _lifecycle, pending_window_in_days: _window, ...declared } = declaredOf(row);
  return {
    id: row.id,
    arn: row.arn,
    key_id: row.key_id,
    provider: row.provider,
    ...declared,
    policy: declared.policy ?? observedOf(row)?.policy ?? null,
    tags_all: row.tags_all as Key['tags_all'],
    status: {
      state: row.state as Key['status']['state'],
      generation: row.generation,
      synced_generation: row.synced_generation,
      key_state: row.key_state,
      drift: driftOf(row),
      error: errorOf(row),
      deletion_date: timestamp(row.deletion_date),
      last_observed_at: timestamp(row.last_observed_at),
      last_synced_at: timestamp(row.last_synced_at),
    },
    created_at: row.created_at.toISOString(),
    updated_at: row.updated_at.toISOString(),
  };
}

/** `"<generation>.<n>"`, where n moves when only the status does. */
export function entityTag(row: Pick<KeyRow, 'generation' | 'status_version'>): string {
  return `"${row.generation}.${row.status_version}"`;
}

function timestamp(date: Date | null): string | null {
  return date === null ? null : date.toISOString();
}

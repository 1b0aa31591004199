/** A key as the HTTP contract shows it. */

import { aliasesOf } from '../../domain/aliases.ts';
import type { Key } from '../../schemas/key.ts';
import { declaredOf, driftOf, errorOf, observedOf } from '../rows/declared.ts';
import type { KeyRow } from '../rows/key-row.ts';
import { isHeldBack } from '../rows/predicates.ts';
import type { Relatives } from './relatives.ts';

/** The representation of a row. @param gap the number of the last gap. */
export function toKey(row: KeyRow, gap: number, { rotation, replica_of, ...relatives }: Relatives): Key {
  const { lifecycle: _lifecycle, pending_window_in_days: _window, ...declared } = declaredOf(row);
  return {
    id: row.id,
    arn: row.arn,
    key_id: row.key_id,
    provider: row.provider,
    replica_of,
    ...declared,
    ...rotation,
    policy: declared.policy ?? observedOf(row)?.policy ?? null,
    tags_all: row.tags_all as Key['tags_all'],
    status: {
      state: row.state,
      generation: row.generation,
      synced_generation: row.synced_generation,
      key_state: row.key_state,
      drift: driftOf(row),
      error: errorOf(row),
      aliases: aliasesIn(row),
      ...relatives,
      held: isHeldBack(row, gap) && row.state !== 'deleted',
      deletion_date: timestamp(row.deletion_date),
      last_observed_at: timestamp(row.last_observed_at),
      last_synced_at: timestamp(row.last_synced_at),
    },
    created_at: row.created_at.toISOString(),
    updated_at: row.updated_at.toISOString(),
  };
}

function aliasesIn(row: KeyRow): string[] | null {
  const observed = observedOf(row);
  return observed === null ? null : aliasesOf(observed);
}

/** More than a status_version can be. */
const versions = 10n ** 10n;

/**
 * `"<generation>.<n>"`, where n moves when only the status does. A version of before a gap may come back for another status,
 * and must not look the same.
 */
export function entityTag(row: Pick<KeyRow, 'generation' | 'status_version'>, gap: number): string {
  return `"${row.generation}.${BigInt(gap) * versions + BigInt(row.status_version)}"`;
}

function timestamp(date: Date | null): string | null {
  return date === null ? null : date.toISOString();
}

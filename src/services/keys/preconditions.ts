/** What must hold before a key is changed. */

import { conflict, ProblemError } from '../problems.ts';
import type { KeyRow } from '../rows/key-row.ts';
import { isLost } from '../rows/predicates.ts';
import { primaryInWords, primaryNameOf } from '../rows/relatives.ts';

/**
 * If-Match compares the generation alone, so that an observation in the background never makes an edit stale.
 * A weak tag names a generation as well as a strong one: proxies weaken those of answers that they compress.
 * @param ifMatch the header, a list of entity tags or `*`; undefined: nothing is asked.
 * @throws ProblemError stale-generation
 */
export function assertMatches(row: KeyRow, ifMatch: string | undefined): void {
  if (ifMatch === undefined || ifMatch.trim() === '*') return;
  const generations = [...ifMatch.matchAll(/"(\d+)(?:\.\d+(?:\.[0-9a-z]+)?)?"/g)].map(([, generation]) =>
    Number(generation),
  );
  if (generations.includes(row.generation)) return;
  throw new ProblemError(
    'stale-generation',
    `If-Match asks for ${ifMatch}, but the key is at generation ${row.generation}: read it again and decide anew.`,
    { keyId: row.id },
  );
}

/** @throws ProblemError conflict for a key that KMS does not have (yet), or that is being replaced. */
export function assertSettledInKms(row: KeyRow): void {
  assertNotReplacing(row);
  if (row.key_id === null || row.synced_generation === 0) {
    throw conflict('KMS does not have the key as declared yet: ask again when it is in_sync.', row.id);
  }
}

/** @throws ProblemError conflict for a key that is gone from KMS for good. */
export function assertNotLost(row: KeyRow): void {
  if (isLost(row)) throw conflict('KMS has lost the key: POST …/recreate makes a new one.', row.id);
}

/** @throws ProblemError conflict while a new KMS key is being made for the record. */
export function assertNotReplacing(row: KeyRow): void {
  if (row.replacement === null) return;
  throw conflict('A replacement of the key is under way: ask again when it has ended.', row.id);
}

/** @param what can't be done to a replica. @throws ProblemError conflict for one, with its primary key. */
export function assertNotReplica(row: KeyRow, what: string): void {
  if (primaryNameOf(row) === null) return;
  const detail = `The key is a replica, which is not ${what}: its key material is that of ${primaryInWords(row)}.`;
  throw conflict(detail, row.id);
}

/** @throws ProblemError conflict for a key whose deletion is scheduled, or that is gone or being let go of. */
export function assertManaged(row: KeyRow): void {
  if (row.state === 'deleted') throw conflict('The key has been deleted; it can only be read.', row.id);
  if (row.lifecycle === 'pending_deletion') {
    throw conflict(
      'The key is pending deletion: it takes only reads, refresh, restore, release and DELETE. Restore it first.',
      row.id,
    );
  }
  if (row.lifecycle === 'released')
    throw conflict('The key is being released; nothing can be changed any more.', row.id);
}

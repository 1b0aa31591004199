/** The grants of a key, as KMS lists them. */
import { KmsFailure } from '../../kms/errors.ts';
import { type Grant, listGrants } from '../../kms/grants.ts';
import type { KeyGrantQuery } from '../../schemas/grant.ts';
import type { Services } from '../context.ts';
import { decodeCursor, encodeCursor, unknownCursor } from '../cursors.ts';
import type { Page } from '../history/pages.ts';
import { conflict, problemOf } from '../problems.ts';
import { accessToKey } from '../providers/access.ts';
import { findKey } from './find.ts';

const standardLimit = 50;

/**
 * One page. A key that KMS has not yet has none.
 * @throws ProblemError not-found, conflict for a key that KMS has deleted or lost, malformed-request for a cursor that no page
 * gave, refused-by-kms, temporarily-unavailable.
 */
export async function listKeyGrants(services: Services, id: string, query: KeyGrantQuery): Promise<Page<Grant>> {
  const { limit = standardLimit, cursor, ...filters } = query;
  const row = await findKey(services, id);
  const thisList = `the grants of ${id} ${JSON.stringify(filters)}`;
  const marker = cursor === undefined ? null : decodeCursor(cursor, thisList);
  if (row.key_id === null) return { items: [], nextCursor: null };
  if (row.state === 'deleted') throw conflict('KMS has deleted the key, and its grants with it.', id);
  try {
    const { kms } = await accessToKey(services, row);
    const { grants, next } = await listGrants(kms, row.key_id, { ...filters, limit, marker });
    return { items: grants, nextCursor: next === null ? null : encodeCursor(thisList, next) };
  } catch (error) {
    if (!(error instanceof KmsFailure)) throw error;
    if (error.code === 'InvalidMarkerException') throw unknownCursor(thisList);
    if (error.kind === 'not_found') throw conflict('KMS has lost the key, and its grants with it.', id);
    throw problemOf(error, row.key_id);
  }
}

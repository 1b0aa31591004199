/** The rotations of a key so far, as KMS lists them. */
import { KmsFailure } from '../../kms/errors.ts';
import { listRotations, type Rotation } from '../../kms/rotations.ts';
import type { PageQuery } from '../../schemas/history.ts';
import type { Services } from '../context.ts';
import { decodeCursor, encodeCursor, unknownCursor } from '../cursors.ts';
import type { Page } from '../history/pages.ts';
import { conflict, problemOf } from '../problems.ts';
import { accessToKey } from '../providers/access.ts';
import { findKey } from './find.ts';

const standardLimit = 50;

/**
 * One page. A key that can't be rotated, or that KMS has not yet, has none.
 * @throws ProblemError not-found, conflict for a key that KMS has deleted or lost, malformed-request for a cursor that no page
 * gave, temporarily-unavailable.
 */
export async function listKeyRotations(services: Services, id: string, query: PageQuery): Promise<Page<Rotation>> {
  const row = await findKey(services, id);
  const thisList = `the rotations of ${id}`;
  const marker = query.cursor === undefined ? null : decodeCursor(query.cursor, thisList);
  if (row.key_id === null) return { items: [], nextCursor: null };
  if (row.state === 'deleted') throw conflict('KMS has deleted the key, and its rotations with it.', id);
  try {
    const { kms } = await accessToKey(services, row);
    const { rotations, next } = await listRotations(kms, row.key_id, query.limit ?? standardLimit, marker);
    return { items: rotations, nextCursor: next === null ? null : encodeCursor(thisList, next) };
  } catch (error) {
    if (!(error instanceof KmsFailure)) throw error;
    if (error.code === 'UnsupportedOperationException') return { items: [], nextCursor: null };
    if (error.code === 'InvalidMarkerException') throw unknownCursor(thisList);
    if (error.kind === 'not_found') throw conflict('KMS has lost the key, and its rotations with it.', id);
    throw problemOf(error, row.key_id);
  }
}

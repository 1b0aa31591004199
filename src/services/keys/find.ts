/** Finds one key. */

import { isUuid } from '../../domain/uuid.ts';
import type { Services } from '../context.ts';
import { keyNotFound } from '../problems.ts';
import type { KeyRow } from '../rows/key-row.ts';
import { findRow } from '../rows/read.ts';

/** The key's row, or undefined. Any text is taken for an id. */
export async function lookUpKey(services: Services, id: string): Promise<KeyRow | undefined> {
  if (!isUuid(id)) return undefined;
  return findRow(services.database, id);
}

/** @throws ProblemError not-found */
export async function findKey(services: Services, id: string): Promise<KeyRow> {
  const row = await lookUpKey(services, id);
  if (row === undefined) throw keyNotFound(id);
  return row;
}

/** Makes a replica the primary key of its family, and the primary its replica. The sync of the replica carries it out. */
import type { Rights } from '../../domain/access.ts';
import { assertMayTouch } from '../access/keys.ts';
import type { Services } from '../context.ts';
import { findKey } from '../keys/find.ts';
import { recordChange } from '../keys/intents.ts';
import { assertManaged, assertMatches, assertNotLost, assertSettledInKms } from '../keys/preconditions.ts';
import { findEarlierRun } from '../keys/revisions.ts';
import { conflict } from '../problems.ts';
import { declaredOf, observedOf } from '../rows/declared.ts';
import type { KeyRow } from '../rows/key-row.ts';
import { visibleAmong } from '../visibility.ts';
import type { Accepted, Command } from './declare.ts';
import { keptRow, waitForGeneration } from './settlement.ts';

/** @throws ProblemError not-found, forbidden, stale-generation, conflict; refused-by-kms, when the roles are as they were. */
export async function promoteKey(services: Services, id: string, command: Command): Promise<Accepted> {
  for (;;) {
    const row = await findKey(services, id);
    const generation = (await findEarlierRun(services, command))?.generation ?? (await record(services, row, command));
    if (generation === null) continue;
    return keptRow(await waitForGeneration(services, id, generation, command.wait), id);
  }
}

/** @returns null when the key has changed since `row` was read: decide again. */
async function record(services: Services, row: KeyRow, command: Command): Promise<number | null> {
  assertMatches(row, command.ifMatch);
  assertManaged(row);
  assertSettledInKms(row);
  assertNotLost(row);
  const primary = await primaryOf(services, row, command.rights);
  assertManaged(primary);
  for (const key of [row, primary]) assertEnabled(key);
  return recordChange(services, row, { declared: declaredOf(row), origin: 'promote' }, command);
}

/** @throws ProblemError conflict for a key that is no replica, or whose primary key has no record that the caller may see; forbidden. */
async function primaryOf(services: Services, row: KeyRow, rights: Rights): Promise<KeyRow> {
  const known = row.replica_of ?? '';
  if ((await visibleAmong(services, [known].filter(Boolean), rights.access)).has(known)) {
    await assertMayTouch(services, known, rights);
    return findKey(services, known);
  }
  const primary = observedOf(row)?.primary_arn ?? null;
  if (primary === null)
    throw conflict('The key is no replica of a multi-Region key: there is nothing to promote.', row.id);
  if (primary === row.arn) throw conflict('The key is the primary key already.', row.id);
  const detail = `The primary key, ${primary}, has no record that you may see: POST /v1/keys/import takes one into management.`;
  throw conflict(detail, row.id);
}

/** @throws ProblemError conflict */
function assertEnabled({ id, key_state }: KeyRow): void {
  if (key_state === 'Enabled') return;
  throw conflict(`KMS changes the primary Region between keys that are Enabled, and ${id} is ${key_state}.`, id);
}

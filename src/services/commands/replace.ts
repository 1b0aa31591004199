/** Gives a record a new KMS key in place of the one it has, or has lost. The sync carries it out. */

import { mayShareAliases } from '../../domain/aliases.ts';
import { isPendingDeletion } from '../../domain/key-state.ts';
import { KmsFailure } from '../../kms/errors.ts';
import { describeKey } from '../../kms/observe.ts';
import type { Services } from '../context.ts';
import { findKey } from '../keys/find.ts';
import { recordChange } from '../keys/intents.ts';
import {
  assertManaged,
  assertMatches,
  assertNotLost,
  assertNotReplica,
  assertSettledInKms,
} from '../keys/preconditions.ts';
import { findEarlierRun } from '../keys/revisions.ts';
import { conflict, type Input, invalidInput, problemOf } from '../problems.ts';
import { accessToKey } from '../providers/access.ts';
import { type DeclaredKey, declaredOf, errorOf, observedOf } from '../rows/declared.ts';
import type { KeyRow } from '../rows/key-row.ts';
import { isLost } from '../rows/predicates.ts';
import { isMissing } from '../sync/lost.ts';
import { aliasesToTake } from './alias-holders.ts';
import { type Accepted, type Command, tellingTaken } from './declare.ts';
import { declaredByReplacement, patchTarget } from './input.ts';
import { keptRow, waitForGeneration } from './settlement.ts';

/**
 * Replaces the KMS key by one with other immutable arguments, and schedules the old one's deletion with its window.
 * @param input what PATCH takes, and immutable fields too.
 * @throws ProblemError not-found, stale-generation, conflict (also with deletion_protection), refused-by-kms;
 * invalid-input, also when nothing changes that needs a replacement.
 */
export function replaceKey(services: Services, id: string, input: Input, command: Command): Promise<Accepted> {
  return supersede(services, id, command, 'replace', async (row) => {
    assertNotReplica(row, 'replaced');
    assertSettledInKms(row);
    assertNotLost(row);
    assertRestored(row);
    await assertNoReplicas(services, row);
    if (row.deletion_protection) {
      const detail = 'A replacement schedules the deletion of the KMS key, and the key has deletion_protection.';
      throw conflict(`${detail} Set it to false first.`, id);
    }
    const { declared, immutable } = declaredByReplacement(services, await patchTarget(services, row), input);
    if (immutable.length > 0) return declared;
    const detail = 'None of the fields that KMS fixes when a key is made is changed: PATCH does the rest.';
    throw invalidInput([{ pointer: '', detail }]);
  });
}

/**
 * Makes a new KMS key for a record whose key KMS has lost for good. What the lost one encrypted stays lost.
 * @throws ProblemError not-found, stale-generation, refused-by-kms, temporarily-unavailable; conflict when KMS has the key.
 */
export function recreateKey(services: Services, id: string, command: Command): Promise<Accepted> {
  return supersede(services, id, command, 'recreate', async (row) => {
    assertNotReplica(row, 'made anew by itself (delete it, and replicate the primary key again)');
    assertSettledInKms(row);
    if (isMissing(errorOf(row))) {
      throw conflict(`KMS does not find the key, and may yet: ${errorOf(row)?.message}`, id);
    }
    if (!isLost(row) || row.key_id === null || (await isInKms(services, row, row.key_id))) {
      throw conflict('KMS has the key, as far as is known: only one that is lost for good is made anew.', id);
    }
    return declaredOf(row);
  });
}

/** A replica is of one KMS key, and stays with that. @throws ProblemError conflict */
async function assertNoReplicas({ database }: Services, { id, multi_region }: KeyRow): Promise<void> {
  if (!multi_region) return;
  const where = { replica_of: id, state: { not: 'deleted' } };
  const replicas = await database.prisma.key.findMany({ where, select: { arn: true } });
  if (replicas.length === 0) return;
  const arns = replicas.map(({ arn }) => arn ?? 'one that is still to be made').join(', ');
  throw conflict(
    `The key has replicas, which stay those of the old KMS key: ${arns}. Delete or release them first.`,
    id,
  );
}

/** A refused replacement goes back to what KMS held: that must not be the deletion which the owner takes back. */
function assertRestored(row: KeyRow): void {
  const observed = observedOf(row);
  if (row.generation === row.synced_generation || observed === null || !isPendingDeletion(observed)) return;
  throw conflict("The key's deletion is still being taken back: ask again when it is in_sync.", row.id);
}

async function isInKms(services: Services, row: KeyRow, keyId: string): Promise<boolean> {
  try {
    const { kms } = await accessToKey(services, row);
    await describeKey(kms, keyId);
    return true;
  } catch (error) {
    if (!(error instanceof KmsFailure)) throw error;
    if (error.kind === 'not_found') return false;
    throw problemOf(error, keyId);
  }
}

async function supersede(
  services: Services,
  id: string,
  command: Command,
  origin: 'replace' | 'recreate',
  decide: (row: KeyRow) => Promise<DeclaredKey>,
): Promise<Accepted> {
  const deadline = Date.now() + command.wait;
  for (;;) {
    const row = await findKey(services, id);
    const generation =
      (await findEarlierRun(services, command))?.generation ?? (await record(services, row, command, origin, decide));
    if (generation === null) continue;
    const settled = keptRow(await waitForGeneration(services, id, generation, command.wait), id);
    const accepted = settled.pending ? settled : await waitForFormerKeys(services, id, deadline - Date.now());
    return tellingTaken(services, accepted, command);
  }
}

/** @returns null when the key has changed since `row` was read: decide again. */
async function record(
  services: Services,
  row: KeyRow,
  command: Command,
  origin: 'replace' | 'recreate',
  decide: (row: KeyRow) => Promise<DeclaredKey>,
): Promise<number | null> {
  assertMatches(row, command.ifMatch);
  assertManaged(row);
  const declared = await decide(row);
  assertAliasesMovable(declaredOf(row), declared);
  const taken = await aliasesToTake(services, row, { before: declaredOf(row), after: declared }, command);
  const change = { declared, origin, taken, columns: { replacement: `${origin}_asked` } };
  return recordChange(services, row, change, command);
}

/** Those that stay go with the record to the new key: KMS must be able to move them. @throws ProblemError invalid-input */
function assertAliasesMovable(before: DeclaredKey, after: DeclaredKey): void {
  const stay = (after.aliases ?? []).filter((name) => before.aliases?.includes(name));
  if (stay.length === 0 || mayShareAliases(before, after)) return;
  const detail = `KMS moves an alias between keys of one type (symmetric, asymmetric, HMAC) and one key_usage alone: ${stay.join(', ')} can't come along. Declare "aliases": [] first, and the names of the new key with this.`;
  throw invalidInput([{ pointer: '/aliases', code: 'incompatible', detail }]);
}

/** KMS holds the new key; the old one's deletion is scheduled right after. When KMS refuses that, `status.error` tells. */
async function waitForFormerKeys(services: Services, id: string, milliseconds: number): Promise<Accepted> {
  await services.changes.waitFor(id, Math.max(0, milliseconds), async () => {
    const row = await findKey(services, id);
    return row.former_keys_open && row.error === null ? undefined : row;
  });
  const row = await findKey(services, id);
  return { row, pending: row.former_keys_open };
}

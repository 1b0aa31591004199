/** An operator's word on a KMS key of which Keyward can't tell whether it is a record's: this one, or not that one. */
import { v7 as uuidv7 } from 'uuid';
import type { Transaction } from '../../database/client.ts';
import type { EventData } from '../../domain/events.ts';
import { makingOperations } from '../../domain/operations.ts';
import { partitionOf } from '../../domain/regions.ts';
import type { Kms } from '../../kms/client.ts';
import { KmsFailure } from '../../kms/errors.ts';
import { type DescribedKey, describeKey } from '../../kms/observe.ts';
import type { KeyResolution } from '../../schemas/key.ts';
import { assertMayTouch } from '../access/keys.ts';
import type { Services } from '../context.ts';
import { recordEvent } from '../history/log.ts';
import { findKey } from '../keys/find.ts';
import { assertMatches } from '../keys/preconditions.ts';
import { conflict, invalidInput, problemOf } from '../problems.ts';
import { accessToKey, homeElsewhere } from '../providers/access.ts';
import { gapAndTimeIn } from '../recovery/hold.ts';
import { ask } from '../rows/ask.ts';
import { errorOf } from '../rows/declared.ts';
import type { KeyRow } from '../rows/key-row.ts';
import { makingOf } from '../rows/relatives.ts';
import { holdRow, noLease, writeRow } from '../rows/write.ts';
import { duplicateKeys, keyNotReadable } from '../sync/creation.ts';
import { keyNotProven } from '../sync/first-creation.ts';
import { closeEntry } from '../sync/journal.ts';
import { homeOf } from '../sync/replacement.ts';
import type { Accepted, Command } from './declare.ts';
import { assertUnmanaged } from './import-refusals.ts';
import { keptRow, waitForGeneration } from './settlement.ts';

/** What a record says that waits for such a word. Its message names the keys. */
const open = new Set([keyNotReadable, duplicateKeys, keyNotProven]);

/**
 * Takes the key for the record's, or for another's, and has the sync go on.
 * @throws ProblemError not-found, stale-generation; conflict for a record that does not wait for such a word, and for a key
 * that another record has; invalid-input for a key that is not in question or can't be the record's; refused-by-kms.
 */
export async function resolveKey(
  services: Services,
  id: string,
  { key_id: keyId, is_mine: isMine }: KeyResolution,
  command: Command,
): Promise<Accepted> {
  await assertMayTouch(services, id, command.rights);
  const row = await findKey(services, id);
  assertMatches(row, command.ifMatch);
  if (!(await isResolved(services, row, keyId, isMine))) {
    assertInQuestion(row, keyId);
    const { kms } = await accessToKey(services, await homeOf(services, row)).catch((error) => fail(error, keyId));
    if (isMine) await recordMine(services, row, await describeOwn(services, kms, row, keyId), command);
    else await recordNotMine(services, row, { keyId, arn: await arnOf(kms, keyId) }, command);
    await services.failurePoints.pass('intent-recorded');
  }
  return keptRow(await waitForGeneration(services, id, row.generation, command.wait), id);
}

/** Whether the same has been said before. */
async function isResolved({ database }: Services, row: KeyRow, keyId: string, isMine: boolean): Promise<boolean> {
  if (isMine) return row.key_id === keyId;
  const said = { key_ref: row.id, key_id: keyId, reason: 'disowned' };
  return (await database.prisma.formerKey.findFirst({ where: said, select: { id: true } })) !== null;
}

function assertInQuestion(row: KeyRow, keyId: string): void {
  const error = errorOf(row);
  if (row.key_id !== null || error === null || !open.has(error.code)) {
    throw conflict("It is in no question which KMS key is the record's: status.error names none.", row.id);
  }
  if (error.message.split(/[\s:,]+/).includes(keyId)) return;
  throw invalidInput([
    { pointer: '/key_id', code: 'invalid_value', detail: `The key is not one of those in question: ${error.message}` },
  ]);
}

function fail(error: unknown, keyId: string): never {
  throw error instanceof KmsFailure ? problemOf(error, keyId) : error;
}

/** What KMS shows of the key, if it can be the record's. */
async function describeOwn(services: Services, kms: Kms, row: KeyRow, keyId: string): Promise<DescribedKey> {
  const described = await describeKey(kms, keyId).catch((error) => fail(error, keyId));
  const elsewhere = await homeElsewhere(kms, described.arn);
  const isAlike =
    described.customer_master_key_spec === row.customer_master_key_spec && described.key_usage === row.key_usage;
  if (elsewhere !== null || !isAlike || described.key_manager === 'AWS' || described.is_replica) {
    const detail = `${described.arn} can't be what this record's ${makingOf(row)} made: it is ${elsewhere ?? 'a key of another kind'}.`;
    throw invalidInput([{ pointer: '/key_id', code: 'incompatible', detail }]);
  }
  await assertUnmanaged(services, described.arn);
  return described;
}

/** Of a key of which KMS need not tell anything. */
async function arnOf(kms: Kms, keyId: string): Promise<string> {
  const account = (await kms.identity())?.account ?? '';
  return `arn:${partitionOf(kms.region)}:kms:${kms.region}:${account}:key/${keyId}`;
}

/** The lease goes: who has it may be about to make a key. */
function recordMine(services: Services, row: KeyRow, { arn, key_id, key_state }: DescribedKey, command: Command) {
  return services.database.prisma.$transaction(async (transaction) => {
    await hold(transaction, row);
    const creations = await transaction.kmsWrite.findMany({
      where: {
        key_ref: row.id,
        operation: { in: [...makingOperations] },
        OR: [{ outcome: null }, { outcome: 'unknown' }],
      },
    });
    if (creations.some(({ outcome }) => outcome === null)) {
      throw conflict(`A ${makingOf(row)} is under way: ask again in a while.`, row.id);
    }
    for (const write of creations) await closeEntry(transaction, row, { id: write.id, step: write }, 'done');
    const { now } = await gapAndTimeIn(transaction);
    const freed = { ...noLease, due_at: new Date(now) };
    await writeRow(transaction, { id: row.id }, { arn, key_id, key_state, ...freed });
    await recordResolved(services, transaction, row, { arn, key_id, is_mine: true }, command);
  });
}

/** No search for this record's key takes it any more. It may be another record's. */
function recordNotMine(
  services: Services,
  row: KeyRow,
  { keyId, arn }: { keyId: string; arn: string },
  command: Command,
) {
  return services.database.prisma.$transaction(async (transaction) => {
    await hold(transaction, row);
    const { id: key_ref, generation } = row;
    const other = { reason: 'disowned', deletion: 'left', window_in_days: row.deletion_window_in_days };
    await transaction.formerKey.create({ data: { id: uuidv7(), key_ref, key_id: keyId, arn, generation, ...other } });
    await ask(transaction, row.id, 'look');
    await recordResolved(services, transaction, row, { arn, key_id: keyId, is_mine: false }, command);
  });
}

/** @throws ProblemError conflict when it is known by now which key is the record's. */
async function hold(transaction: Transaction, { id, generation }: KeyRow): Promise<void> {
  const row = await holdRow(transaction, { id });
  if (row?.key_id === null && row.generation === generation) return;
  throw conflict('The record has changed meanwhile: read it again.', id);
}

async function recordResolved(
  services: Services,
  transaction: Transaction,
  row: KeyRow,
  data: EventData['key.resolved'],
  by: Command,
): Promise<void> {
  await recordEvent(transaction, { type: 'key.resolved', key: row, data }, by);
  await services.notifications.wake(transaction, row);
}

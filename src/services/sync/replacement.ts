/**
 * One KMS key takes the place of another. The record lets go of the old key before the new one is made, so that making it
 * is a creation like any other (I3); the old key is on record as a former one, which no search by ownership tag takes for
 * the new one. It is let be until KMS holds the new key as declared, and comes back when KMS refuses that.
 */
import { v7 as uuidv7 } from 'uuid';
import { type FormerKey, Prisma, type Transaction } from '../../database/client.ts';
import type { KeyEvent } from '../../domain/events.ts';
import type { ObservedKey } from '../../domain/types.ts';
import type { Services } from '../context.ts';
import { recordEvent } from '../history/log.ts';
import type { Home } from '../providers/access.ts';
import { declaredIn } from '../rows/declared.ts';
import type { KeyRow } from '../rows/key-row.ts';
import { type Columns, statusMoves, writeRow } from '../rows/write.ts';
import { recordDriftEvents } from './drift.ts';
import { refuseErrands } from './errands.ts';
import { LeaseLost, type Work } from './lease.ts';

/** Days until a key is deleted that KMS made for a replacement which it then refused. Nobody can have used it. */
const shortestWindow = 7;

/**
 * Lets go of the old key, if a replacement asks for it.
 * @returns the row, without a KMS key then.
 * @throws LeaseLost
 */
export async function beginReplacement(services: Services, { row, lease }: Work): Promise<KeyRow> {
  const { replacement, key_id: keyId, arn } = row;
  if (replacement === null || replacement === 'begun' || keyId === null || arn === null) return row;
  const isLost = replacement === 'recreate_asked';
  const begun = await services.database.prisma.$transaction(async (transaction) => {
    const former = {
      id: uuidv7(),
      key_ref: row.id,
      key_id: keyId,
      arn,
      generation: row.generation,
      reason: isLost ? 'gone' : 'replaced',
      window_in_days: await windowOf(transaction, row),
      deletion: isLost ? 'gone' : 'waiting',
    };
    const changed = await writeRow(transaction, lease.fence, { ...noKey, replacement: 'begun', ...statusMoves });
    if (changed === null) throw new LeaseLost(row.id);
    await transaction.formerKey.create({ data: former });
    await moveJournal(transaction, row.id, former.id);
    await recordDriftEvents(transaction, row, [], { isGone: true });
    return changed;
  });
  await services.failurePoints.pass('replacement-begun');
  return begun;
}

const noKey = {
  arn: null,
  key_id: null,
  key_state: null,
  observed: Prisma.DbNull,
  drift: [],
  deletion_date: null,
  last_observed_at: null,
};

/** The window that the old key was declared with. */
async function windowOf(transaction: Transaction, row: KeyRow): Promise<number> {
  const where = { key_ref_generation: { key_ref: row.id, generation: row.synced_generation } };
  const held = await transaction.revision.findUnique({ where, select: { desired: true } });
  return (held === null ? row : declaredIn(held)).deletion_window_in_days;
}

/** What the journal tells of one KMS key says nothing of another. Refused writes stay with the record. */
async function moveJournal(transaction: Transaction, from: string, to: string): Promise<void> {
  const settled = { key_ref: from, outcome: { in: ['done', 'unknown'] } };
  await transaction.kmsWrite.updateMany({ where: settled, data: { key_ref: to } });
}

/** The columns that say, with the new generation held, that the replacement is done. */
export function replacedColumns(row: KeyRow, now: Date): Columns {
  if (row.replacement !== 'begun') return {};
  return { replacement: null, former_keys_open: true, due_at: now };
}

/** Puts on record which key took the place of which, and wakes the sync that looks after the old one. */
export async function recordReplaced(
  services: Services,
  transaction: Transaction,
  row: KeyRow,
  { key_id, arn }: Pick<ObservedKey, 'key_id' | 'arn'>,
): Promise<void> {
  if (row.replacement !== 'begun') return;
  const former = await latestFormerKey(transaction, row);
  const revision = await transaction.revision.findFirst({
    where: { key_ref: row.id, origin: { in: ['replace', 'recreate'] }, generation: { lte: row.generation } },
    orderBy: { generation: 'desc' },
  });
  if (former === null || revision === null) return;
  const changes = { key_id: { before: former.key_id, after: key_id }, arn: { before: former.arn, after: arn } };
  const { generation, actor, request_id } = revision;
  await transaction.revision.update({
    where: { key_ref_generation: { key_ref: row.id, generation } },
    data: { changes: { ...(revision.changes as Prisma.InputJsonObject), ...changes } },
  });
  const isLost = former.reason === 'gone';
  const data = { origin: revision.origin, changes };
  const warning = `Data that was encrypted under ${former.arn} can't be decrypted any more.`;
  const about = { key: { id: row.id, generation } };
  const event: KeyEvent = isLost
    ? { ...about, type: 'key.recreated', data: { ...data, warning } }
    : { ...about, type: 'key.replaced', data };
  await recordEvent(transaction, event, { actor, requestId: request_id });
  const message = `The KMS key ${former.arn} was replaced before this was known to be done.`;
  await refuseErrands(transaction, row, { code: 'KeyReplaced', message });
  await services.notifications.wake(transaction, row);
}

/** Where the record's KMS key is, or the one that is being replaced: its successor is to be in the same account and Region. */
export async function homeOf({ database }: Services, row: KeyRow): Promise<Home> {
  if (row.arn !== null || row.replacement !== 'begun') return row;
  const former = await latestFormerKey(database.prisma, row);
  return { provider: row.provider, arn: former?.arn ?? null };
}

/** The key that is being replaced, or that was lost, and may come back to the record. */
export function latestFormerKey(
  transaction: Pick<Transaction, 'formerKey'>,
  { id, synced_generation }: KeyRow,
): Promise<FormerKey | null> {
  return transaction.formerKey.findFirst({
    where: { key_ref: id, reason: { in: ['replaced', 'gone'] }, generation: { gt: synced_generation } },
    orderBy: { generation: 'desc' },
  });
}

/** The old key of a replacement that KMS refused, and the columns that give it back to the record. */
export async function keyToReturnTo(transaction: Transaction, row: KeyRow) {
  if (row.replacement !== 'begun') return { former: null, columns: { replacement: null } };
  const former = await latestFormerKey(transaction, row);
  if (former === null) return { former, columns: { replacement: null } };
  const { key_id, arn, created_at } = former;
  // It had been seen in KMS when it was let go of: not to find it there now is no matter of waiting.
  const columns = { ...noKey, key_id, arn, last_observed_at: created_at, replacement: null };
  return { former, columns: { ...columns, former_keys_open: row.key_id !== null || row.former_keys_open } };
}

/**
 * Takes the old key off the record of former ones; the key that was made in its place, if any, goes there.
 * @param isLeft that one is not to be deleted.
 */
export async function recordReturn(
  transaction: Transaction,
  row: KeyRow,
  former: FormerKey | null,
  { isLeft }: { isLeft: boolean },
): Promise<void> {
  if (former === null) return;
  await transaction.formerKey.delete({ where: { id: former.id } });
  if (row.key_id !== null && row.arn !== null) {
    const id = uuidv7();
    const { generation, key_id, arn } = row;
    const refused = { reason: 'refused', deletion: isLeft ? 'left' : 'waiting', window_in_days: shortestWindow };
    await transaction.formerKey.create({ data: { id, key_ref: row.id, key_id, arn, generation, ...refused } });
    await moveJournal(transaction, row.id, id);
    const data = { arn, arn_on_record: former.arn };
    if (isLeft) await recordEvent(transaction, { type: 'key.stray', key: row, data });
  }
  // What was written to a key that is lost tells nothing of where it is now.
  if (former.reason === 'replaced') await moveJournal(transaction, former.id, row.id);
}

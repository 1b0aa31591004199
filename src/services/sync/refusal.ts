/** A change that KMS refuses for good is taken back whole (I5). */
import type { Transaction } from '../../database/client.ts';
import { announceKeyChange } from '../../database/notifications.ts';
import { putBack } from '../../domain/adoption.ts';
import { nextGeneration } from '../../domain/gap.ts';
import type { ObservedKey } from '../../domain/types.ts';
import { KmsFailure } from '../../kms/errors.ts';
import type { Services } from '../context.ts';
import { giveAliasesBack, withoutTaken } from '../keys/aliases.ts';
import { recordRevision } from '../keys/revision-record.ts';
import { findRevision } from '../keys/revisions.ts';
import { neighboursOf } from '../keys/same-kms.ts';
import { holdSettings } from '../providers/settings.ts';
import { columnsOf, type DeclaredKey, declaredIn, declaredOf } from '../rows/declared.ts';
import type { KeyRow } from '../rows/key-row.ts';
import { stateWhileSyncing } from '../rows/predicates.ts';
import { holdRow, statusMoves, writeRow } from '../rows/write.ts';
import { immutableFieldDiffers } from './attainable.ts';
import { isMadeByUs } from './journal.ts';
import { LeaseLost, type Work } from './lease.ts';
import { finalError, recordFailed, refuseRevisions } from './record.ts';
import { keyToReturnTo, latestFormerKey, recordReturn } from './replacement.ts';
import { pauseAfterRefusal } from './retry.ts';
import { tagsNotKept } from './tags-kept.ts';

/** What KMS made of a CreateKey is not what was asked for: it is left as it is. */
const notAsAsked = new Set([immutableFieldDiffers, tagsNotKept]);

/**
 * Records the refusal and turns the desired state back, as a new generation, to the last one that KMS held; the sync
 * goes on with that. A key that never was in KMS as declared has none: it fails, and one that was surely made on the way is
 * scheduled for deletion, since nobody can have used it. A key that is only known by its tag is left.
 * @returns the row to go on with, or null when there is nothing left to do.
 */
export async function takeBack(services: Services, work: Work, failure: KmsFailure): Promise<KeyRow | null> {
  // CreateKey may have given the row its identity since the work began, and a replacement may have begun.
  const current = await currentRow(services.database.prisma, work.lease.fence);
  const { arn, key_id, replacement, former_keys_open } = current;
  const row = { ...work.row, arn, key_id, replacement, former_keys_open };
  const refused = await findRevision(services, row.id, row.generation);
  const isRevert = refused?.origin === 'revert';
  if (isRevert || row.generation === row.synced_generation) {
    // What was declared last is held: whether KMS differs from it is told by what was seen, not by the refusal.
    const state = row.generation === row.synced_generation ? current.state : 'failed';
    const due_at = new Date(services.now() + pauseAfterRefusal);
    const error = { ...finalError(services, row, failure), next_attempt_at: due_at.toISOString() };
    return recordFailed(services, work, failure, { state, due_at, error });
  }
  const isLeft = notAsAsked.has(failure.code);
  const target = await stateToReturnTo(services, row, refused?.origin, { isLeft });
  if (target === null) {
    return recordFailed(services, work, isLeft ? failure : tellingOfTheKey(row, refused?.origin, failure));
  }
  return revert(services, { ...work, row }, failure, target);
}

async function stateToReturnTo(
  services: Services,
  row: KeyRow,
  origin: string | undefined,
  { isLeft }: { isLeft: boolean },
): Promise<DeclaredKey | null> {
  if (row.synced_generation > 0) {
    const held = await findRevision(services, row.id, row.synced_generation);
    return held === null ? null : putBack(declaredIn(held), await befores(services, row));
  }
  if (row.key_id === null || origin === 'import' || isLeft) return null;
  if (!(await isMadeByUs(services, row.id, row.key_id))) return null;
  const declared = declaredOf(row);
  // The names of a key that nobody can have used are free for another try.
  const aliases = declared.aliases === null ? null : [];
  return { ...declared, aliases, lifecycle: 'pending_deletion', pending_window_in_days: 7 };
}

/** What was there before each write that may have changed the KMS key to return to since it was held, oldest first. */
async function befores({ database }: Services, row: KeyRow): Promise<Partial<ObservedKey>[]> {
  const former = row.replacement === 'begun' ? await latestFormerKey(database.prisma, row) : null;
  // A lost key that comes back is as it is.
  if (former?.reason === 'gone') return [];
  const writes = await database.prisma.kmsWrite.findMany({
    where: {
      key_ref: former?.id ?? row.id,
      generation: { gt: row.synced_generation },
      OR: [{ outcome: null }, { outcome: { in: ['done', 'unknown'] } }],
    },
    orderBy: { id: 'asc' },
    select: { before: true },
  });
  return writes.flatMap(({ before }) => (before === null ? [] : [before as Partial<ObservedKey>]));
}

function tellingOfTheKey({ key_id, arn }: KeyRow, origin: string | undefined, failure: KmsFailure): KmsFailure {
  if (key_id === null || origin === 'import') return failure;
  const { kind, code, message, operation, certainlyNotDone } = failure;
  const left = `The key ${arn} is left as it is: it was found by its ownership tag, which does not prove that Keyward made it`;
  return new KmsFailure(kind, code, `${message.replace(/[^.!?]$/, '$&.')} ${left}`, operation, certainlyNotDone);
}

async function revert(services: Services, { row, lease }: Work, failure: KmsFailure, aim: DeclaredKey) {
  const error = finalError(services, row, failure);
  const generation = nextGeneration(row.generation, lease.gap);
  services.log.warn({ key: row.id, ...error }, 'KMS refused the change; taking it back');
  const { apart } = await neighboursOf(services, row.provider, aim.aliases ?? []);
  const next = await services.database.prisma.$transaction(async (transaction) => {
    const { settings, gap, now } = await holdSettings(transaction, row.provider, row.id);
    const target = await withoutTaken(transaction, { ...row, apart }, aim);
    const { former, columns } = await keyToReturnTo(transaction, row);
    const reverted = await writeRow(
      transaction,
      { ...lease.fence, generation: row.generation },
      {
        ...columnsOf(target, settings),
        ...columns,
        generation,
        state: stateWhileSyncing(row, target),
        error,
        attempts: 0,
        ...statusMoves,
        updated_at: new Date(),
      },
    );
    // A newer change overtook the refused one: it is tried as it stands.
    if (reverted === null) return currentRow(transaction, lease.fence);
    await recordReturn(transaction, row, former, { isLeft: notAsAsked.has(failure.code) });
    await refuseRevisions(transaction, row, error);
    const by = { actor: 'keyward', requestId: (await requestOf(transaction, row)) ?? 'none' };
    const revision = {
      keyId: row.id,
      generation,
      origin: 'revert' as const,
      declared: target,
      before: declaredOf(row),
    };
    await recordRevision(transaction, revision, by);
    await giveAliasesBack(services, transaction, row, { ...by, gap, now });
    await announceKeyChange(transaction, row.id);
    return reverted;
  });
  await services.failurePoints.pass('refusal-recorded');
  return next;
}

/** @throws LeaseLost */
async function currentRow(transaction: Transaction, fence: { id: string; lease_token: string }): Promise<KeyRow> {
  const row = await holdRow(transaction, fence);
  if (row === null) throw new LeaseLost(fence.id);
  return row;
}

async function requestOf(transaction: Transaction, row: KeyRow): Promise<string | undefined> {
  const where = { key_ref_generation: { key_ref: row.id, generation: row.generation } };
  return (await transaction.revision.findUnique({ where, select: { request_id: true } }))?.request_id;
}

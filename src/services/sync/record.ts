/** Records how a sync ended. Every statement is fenced by the lease: results of a replaced worker go nowhere. */
import { Prisma, type Transaction } from '../../database/client.ts';
import { announceKeyChange } from '../../database/notifications.ts';
import type { ObservedKey } from '../../domain/types.ts';
import type { KmsFailure } from '../../kms/errors.ts';
import type { Drift, SyncError } from '../../schemas/key.ts';
import type { Services } from '../context.ts';
import type { FailurePoint } from '../failure-points.ts';
import { recordEvent } from '../history/log.ts';
import { askForReplicas } from '../rows/ask.ts';
import { errorOf } from '../rows/declared.ts';
import type { KeyRow } from '../rows/key-row.ts';
import { isEnforcingAskedFor, isKnownLost, isLookAskedFor, isSynced } from '../rows/predicates.ts';
import { type Columns, holdRow, noLease, statusMoves, writeRow } from '../rows/write.ts';
import { recordDriftEvents } from './drift.ts';
import { recordRest } from './journal.ts';
import { type Lease, LeaseLost, type Work } from './lease.ts';
import { beginningOf } from './lost.ts';
import { findOpenWrites, hasLeftOpen, timeUntilVerifiable } from './open-writes.ts';
import { recordReplaced, replacedColumns } from './replacement.ts';
import { isRead, pauseBefore } from './retry.ts';

/** @returns the row when it asks for more work (a newer generation, a further observation), else null. */
type Next = KeyRow | null;

/**
 * What a sync ends with.
 * - drift: what differs from the desired state; empty when KMS holds it.
 * - holds: whether the generation at hand is now held by KMS.
 * - unverified: milliseconds after which the key has to be looked at again, because a write of unknown outcome may land
 *   until then; 0: none may.
 * - error: what goes wrong beside the key itself; null: nothing.
 */
export type Observation = {
  observed: ObservedKey;
  drift: Drift[];
  holds: boolean;
  /** Whether KMS now holds the tags that a change of the provider's settings has changed. */
  holdsDefaultTags: boolean;
  dueAt: Date;
  unverified: number;
  error: SyncError | null;
  /** When KMS was asked, before anything was written; absent: just now. */
  observedAt?: Date;
};

/** Records an observation that ends the sync. */
export function recordObservation(services: Services, work: Work, result: Observation): Promise<Next> {
  const { row } = work;
  const { observed, drift, holds, holdsDefaultTags, unverified, error } = result;
  const now = new Date(services.now());
  const columns = {
    ...columnsOfObservation(observed, result.observedAt ?? now),
    drift: drift as unknown as Prisma.InputJsonArray,
    due_at: unverified > 0 ? new Date(now.getTime() + unverified) : result.dueAt,
    attempts: 0,
    writes_open: unverified > 0,
    served_observation: row.requested_observation,
    ...(holdsDefaultTags ? { default_tags_due: Prisma.DbNull } : {}),
    ...(holds ? { synced_generation: row.generation, last_synced_at: now, ...replacedColumns(row, now) } : {}),
  };
  const state = row.lifecycle === 'pending_deletion' ? 'pending_deletion' : drift.length > 0 ? 'drifted' : 'in_sync';
  const status = { ...columns, state, ...(error === null ? clearedError(row) : { error }) };
  return finish(services, work, status, 'sync-recorded', async (transaction) => {
    if (holds && row.generation > row.synced_generation) await settleRevisions(transaction, row);
    if (holds) await recordReplaced(services, transaction, row, observed);
    await recordDriftEvents(transaction, row, drift);
    if (holds && isFirst(row)) await wakeReplicas(services, transaction, row);
    if (!isKnownLost(row)) return;
    await recordEvent(transaction, { type: 'key.found', key: row, data: { arn: observed.arn } });
  });
}

/** Whether KMS never held it as declared. */
const isFirst = ({ multi_region, replica_of, synced_generation }: KeyRow) =>
  multi_region && replica_of === null && synced_generation === 0;

/** Those that were recorded with the key wait for it. */
async function wakeReplicas({ notifications }: Services, transaction: Transaction, { id }: KeyRow): Promise<void> {
  for (const replica of await askForReplicas(transaction, id))
    await notifications.wake(transaction, replica, replica.creator);
}

/**
 * An error that waited for this attempt goes with it. That of a change that was taken back stays on show until the next
 * change is accepted, or a look that was asked for since finds the key well.
 */
function clearedError(row: KeyRow): Columns {
  const shown = errorOf(row);
  if (shown === null) return {};
  const isAskedFor = isLookAskedFor(row);
  const isOver = isSynced(row) && (isAskedFor || shown.next_attempt_at !== null);
  return shown.retryable || isOver || row.state === 'failed'
    ? { error: Prisma.DbNull }
    : { error: { ...shown, next_attempt_at: null } };
}

function columnsOfObservation(observed: ObservedKey, now: Date) {
  return {
    arn: observed.arn,
    key_id: observed.key_id,
    creator: null,
    observed: observed as unknown as Prisma.InputJsonObject,
    key_state: observed.key_state,
    deletion_date: observed.deletion_date === null ? null : new Date(observed.deletion_date),
    last_observed_at: now,
  };
}

/** When the next attempt is due, in place of the usual delay. `dueIn` is in milliseconds. */
type Timing = { dueIn?: number; noLaterThan?: Date };

/** Records a failure that may pass, and when the next attempt is due. @returns null: the lease is given back. */
export async function recordRetry(
  services: Services,
  work: Work,
  failure: KmsFailure,
  timing: Timing = {},
): Promise<Next> {
  await recordRest(services, work.lease);
  const attempts = work.row.attempts + 1;
  const now = services.now();
  const usual = now + (timing.dueIn ?? pauseBefore(failure, attempts));
  const dueAt = new Date(Math.min(usual, timing.noLaterThan?.getTime() ?? Number.POSITIVE_INFINITY));
  const { code, message, operation } = failure;
  const progress = { attempts, since: beginningOf(work.row, code, now), next_attempt_at: dueAt.toISOString() };
  services.log.warn({ key: work.row.id, operation, code, message, ...progress }, 'sync will be tried again');
  const error: SyncError = {
    code,
    message,
    operation,
    retryable: true,
    ...(refusalBeingTakenBack(work.row) ?? {}),
    ...progress,
  };
  // What KMS surely did not do leaves nothing open: the next attempt is to aim at no more than this one did.
  const writes_open = work.row.writes_open || (await hasLeftOpen(services, work.lease));
  const columns = { error, attempts, due_at: dueAt, writes_open, ...servedBy(work.row, failure) };
  return finish(services, work, columns, 'retry-recorded', async () => {});
}

/** Who asked for a look is answered with what KMS says to that; who asked for more waits on. */
function servedBy(row: KeyRow, failure: KmsFailure): Columns {
  const isAnswer = isRead(failure) && ['denied', 'refused', 'not_found'].includes(failure.kind);
  const asksForMore = isEnforcingAskedFor(row) || row.errands_open;
  return isAnswer && !asksForMore ? { served_observation: row.requested_observation } : {};
}

/** While a refused change is being taken back, the refusal stays on show: an accepted change would have cleared it. */
function refusalBeingTakenBack(row: KeyRow): SyncError | null {
  const shown = errorOf(row);
  return shown !== null && !shown.retryable && row.generation > row.synced_generation ? shown : null;
}

/**
 * Records that a key can't be synced until somebody changes something.
 * @param also what else is put on record, whether or not the row asks for another round.
 */
export async function recordFailed(
  services: Services,
  work: Work,
  failure: KmsFailure,
  columns: Columns = {},
  also: (transaction: Transaction) => Promise<void> = async () => {},
): Promise<Next> {
  await recordRest(services, work.lease);
  const error = finalError(services, work.row, failure);
  services.log.warn({ key: work.row.id, ...error }, 'sync failed for good');
  const unverified = await timeUntilVerifiable(services, work.row.id);
  const result = {
    state: 'failed',
    attempts: 0,
    due_at: null,
    error,
    ...columns,
    ...(unverified > 0 ? { due_at: new Date(services.now() + unverified) } : {}),
    writes_open: unverified > 0 || (await findOpenWrites(services, work.row.id)).length > 0,
  };
  const served = { served_observation: work.row.requested_observation };
  return finish(services, work, { ...result, ...served }, 'sync-recorded', async (transaction, hasMoved) => {
    await also(transaction);
    if (hasMoved) return;
    await refuseRevisions(transaction, work.row, error);
    const { operation, code, message } = failure;
    await recordEvent(transaction, { type: 'sync.failed', key: work.row, data: { operation, code, message } });
  });
}

export function finalError({ now }: Pick<Services, 'now'>, row: KeyRow, failure: KmsFailure): SyncError {
  const { code, message, operation } = failure;
  const progress = { attempts: row.attempts + 1, since: beginningOf(row, code, now()), next_attempt_at: null };
  return { code, message, operation, retryable: false, ...progress };
}

/** Marks the generation at hand as held, and those before it as superseded. */
async function settleRevisions(transaction: Transaction, row: KeyRow): Promise<void> {
  const pending = { key_ref: row.id, outcome: 'pending' };
  const settled_at = new Date();
  await transaction.revision.updateMany({
    where: { ...pending, generation: row.generation },
    data: { outcome: 'held', settled_at },
  });
  if (row.generation - row.synced_generation > 1) {
    // A later change takes the place of an earlier one, but brings a promotion along.
    const isPromoted = row.replica_of === null;
    const promotions = { ...pending, origin: 'promote', generation: { lt: row.generation } };
    if (isPromoted) await transaction.revision.updateMany({ where: promotions, data: { outcome: 'held', settled_at } });
    await transaction.revision.updateMany({
      where: { ...pending, generation: { lt: row.generation } },
      data: { outcome: 'superseded', settled_at },
    });
  }
}

/** Marks the generation at hand, and those that were waiting with it, as refused. */
export async function refuseRevisions(transaction: Transaction, row: KeyRow, error: SyncError): Promise<void> {
  await transaction.revision.updateMany({
    where: { key_ref: row.id, outcome: 'pending', generation: { lte: row.generation } },
    data: { outcome: 'refused', settled_at: new Date(), error },
  });
}

/**
 * Puts drift on record before it is mended.
 * @returns the work with the row as it is then.
 * @throws LeaseLost
 */
export async function recordDriftFound(services: Services, { row, lease }: Work, drift: Drift[]): Promise<Work> {
  const found = await services.database.prisma.$transaction(async (transaction) => {
    const recorded = await writeRow(transaction, lease.fence, {
      drift: drift as unknown as Prisma.InputJsonArray,
      ...statusMoves,
      ...(row.lifecycle === 'managed' && isSynced(row) ? { state: 'drifted' } : {}),
    });
    if (recorded === null) throw new LeaseLost(row.id);
    await recordDriftEvents(transaction, row, drift);
    return { row: { ...row, drift: recorded.drift, state: recorded.state }, lease };
  });
  await services.failurePoints.pass('intent-recorded');
  return found;
}

/**
 * Writes the columns and gives the lease back, unless the row has moved on meanwhile: then the lease is kept, the
 * columns that stay true are written, and the row comes back for another round.
 * @throws LeaseLost
 */
export async function finish(
  services: Services,
  { row, lease }: Work,
  columns: Columns,
  point: FailurePoint,
  also: (transaction: Transaction, hasMoved: boolean) => Promise<void>,
): Promise<Next> {
  const next = await services.database.prisma.$transaction(async (transaction) => {
    await recordWithEnd(transaction, lease, columns);
    const data = { ...columns, ...statusMoves };
    const isOver = await writeRow(transaction, { ...lease.fence, asked: row.asked }, { ...data, ...noLease });
    await also(transaction, isOver === null);
    await announceKeyChange(transaction, row.id);
    if (isOver !== null) return null;
    const { state: _state, due_at: _due, error: _error, default_tags_due: _tags, attempts, ...stillTrue } = data;
    const moved = await writeRow(transaction, lease.fence, stillTrue);
    if (moved === null) throw new LeaseLost(row.id);
    // How often an earlier generation was tried says nothing of a newer one.
    if (attempts === undefined || moved.generation !== row.generation) return moved;
    return writeRow(transaction, lease.fence, { attempts });
  });
  lease.unrecorded.length = 0;
  if (next === null) lease.stop();
  await services.failurePoints.pass(point);
  return next;
}

/** What became of the last write goes on record with the end of the sync. @throws LeaseLost */
async function recordWithEnd(transaction: Transaction, lease: Lease, columns: Columns): Promise<void> {
  if (lease.unrecorded.length === 0) return;
  // The row before the journal, as everywhere.
  const held = await holdRow(transaction, lease.fence);
  if (held === null) throw new LeaseLost(lease.keyId);
  for (const record of lease.unrecorded) {
    if (!(await record(transaction, { held, columns }))) throw new LeaseLost(lease.keyId);
  }
}

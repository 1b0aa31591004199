/** Records how a sync ended. Every statement is fenced by the lease: results of a replaced worker go nowhere. */
import { type KeyRow, Prisma, type Transaction } from '../../database/client.ts';
import { announceKeyChange } from '../../database/queue.ts';
import type { ObservedKey } from '../../domain/types.ts';
import type { KmsFailure } from '../../kms/errors.ts';
import type { Drift, SyncError } from '../../schemas/key.ts';
import type { Services } from '../context.ts';
import { driftOf } from '../keys/declared.ts';
import { type Lease, LeaseLost, released } from './lease.ts';
import { retryDelay } from './retry.ts';

/** One key, as it was when its sync began, and the right to record results for it. */
export type Work = { row: KeyRow; lease: Lease };

type Columns = Prisma.KeyUpdateManyMutationInput;

/** @returns the row when it asks for more work (a newer generation, a further observation), else null. */
type Next = KeyRow | null;

/**
 * Records an observation that ends the sync.
 * @param drift what differs from the desired state; empty when KMS holds it.
 * @param holds whether the generation at hand is now held by KMS.
 */
export function recordObservation(
  services: Services,
  work: Work,
  result: { observed: ObservedKey; drift: Drift[]; holds: boolean; dueAt: Date | null },
): Promise<Next> {
  const { row } = work;
  const { observed, drift, holds } = result;
  const now = new Date();
  const columns = {
    ...columnsOfObservation(observed, now),
    drift: drift as unknown as Prisma.InputJsonArray,
    due_at: result.dueAt,
    attempts: 0,
    writes_open: false,
    served_observation: row.requested_observation,
    ...(holds ? { synced_generation: row.generation, last_synced_at: now } : {}),
  };
  const state = row.lifecycle === 'pending_deletion' ? 'pending_deletion' : drift.length > 0 ? 'drifted' : 'in_sync';
  return finish(services, work, { ...columns, state, ...clearedError(row, holds) }, async (transaction) => {
    if (holds && row.generation > row.synced_generation) await settleRevisions(transaction, row);
    await recordDriftEvents(transaction, row, drift);
  });
}

/** An error stays on show after a change was taken back, until the next change is accepted. */
function clearedError(row: KeyRow, holds: boolean): Columns {
  const shown = row.error as SyncError | null;
  return shown !== null && (shown.retryable || !holds) ? { error: Prisma.DbNull } : {};
}

function columnsOfObservation(observed: ObservedKey, now: Date) {
  return {
    arn: observed.arn,
    key_id: observed.key_id,
    observed: observed as unknown as Prisma.InputJsonObject,
    key_state: observed.key_state,
    deletion_date: observed.deletion_date === null ? null : new Date(observed.deletion_date),
    last_observed_at: now,
  };
}

/** Records a failure that may pass, and when the next attempt is due. @returns null: the lease is given back. */
export async function recordRetry(
  services: Services,
  work: Work,
  failure: KmsFailure,
  notBefore?: Date,
): Promise<Next> {
  const attempts = work.row.attempts + 1;
  const dueAt = notBefore ?? new Date(Date.now() + retryDelay(attempts, Math.random()));
  const error: SyncError = {
    code: failure.code,
    message: failure.message,
    retryable: true,
    attempts,
    next_attempt_at: dueAt.toISOString(),
  };
  services.log.warn({ key: work.row.id, operation: failure.operation, ...error }, 'sync will be tried again');
  return finish(services, work, { error, attempts, due_at: dueAt }, async () => {});
}

/** Records that a key can't be synced until somebody changes something. */
export function recordFailed(
  services: Services,
  work: Work,
  failure: KmsFailure,
  columns: Columns = {},
): Promise<Next> {
  const error = finalError(work.row, failure);
  services.log.warn({ key: work.row.id, operation: failure.operation, ...error }, 'sync failed for good');
  const result = { state: 'failed', attempts: 0, due_at: null, writes_open: false, error, ...columns };
  const served = { served_observation: work.row.requested_observation };
  return finish(services, work, { ...result, ...served }, async (transaction, hasMoved) => {
    if (hasMoved) return;
    await refuseRevisions(transaction, work.row, error);
    await transaction.event.create({
      data: {
        key_ref: work.row.id,
        type: 'sync.failed',
        generation: work.row.generation,
        actor: 'keyward',
        data: { operation: failure.operation, code: failure.code, message: failure.message },
      },
    });
  });
}

export function finalError(row: KeyRow, failure: KmsFailure): SyncError {
  const { code, message } = failure;
  return { code, message, retryable: false, attempts: row.attempts + 1, next_attempt_at: null };
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

async function recordDriftEvents(transaction: Transaction, row: KeyRow, drift: Drift[]): Promise<void> {
  const before = driftOf(row);
  const isNew = (entry: Drift) => !before.some(({ field }) => field === entry.field);
  const isGone = (entry: Drift) => !drift.some(({ field }) => field === entry.field);
  const event = (type: string, entries: Drift[]) =>
    transaction.event.create({
      data: {
        key_ref: row.id,
        type,
        generation: row.generation,
        actor: 'keyward',
        data: { drift: entries as unknown as Prisma.InputJsonArray },
      },
    });
  if (drift.some(isNew)) await event('drift.detected', drift.filter(isNew));
  if (before.some(isGone)) await event('drift.resolved', before.filter(isGone));
}

/**
 * Writes the columns and gives the lease back, unless the row has moved on meanwhile: then the lease is kept, the
 * columns that stay true are written, and the row comes back for another round.
 * @throws LeaseLost
 */
export function finish(
  services: Services,
  { row, lease }: Work,
  columns: Columns,
  also: (transaction: Transaction, hasMoved: boolean) => Promise<void>,
): Promise<Next> {
  return services.database.prisma.$transaction(async (transaction) => {
    const data = { ...columns, status_version: { increment: 1 } };
    const { count } = await transaction.key.updateMany({
      where: {
        ...lease.fence,
        generation: row.generation,
        requested_observation: row.requested_observation,
      },
      data: { ...data, ...released },
    });
    await also(transaction, count === 0);
    await announceKeyChange(transaction, row.id);
    if (count === 1) {
      lease.stop();
      return null;
    }
    const { state: _state, due_at: _due, error: _error, ...stillTrue } = data;
    const [moved] = await transaction.key.updateManyAndReturn({ where: lease.fence, data: stillTrue });
    if (moved === undefined) throw new LeaseLost(row.id);
    return moved;
  });
}

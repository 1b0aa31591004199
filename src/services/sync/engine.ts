/** The one path of every change: observe, plan, apply, record. */
import type { KeyRow } from '../../database/client.ts';
import { afterStep } from '../../domain/after-step.ts';
import { differences } from '../../domain/drift.ts';
import { plan } from '../../domain/planner.ts';
import { withRecentWrites } from '../../domain/recent-writes.ts';
import type { ObservedKey, Step } from '../../domain/types.ts';
import { applyStep } from '../../kms/apply.ts';
import type { Kms } from '../../kms/client.ts';
import { KmsFailure, toKmsFailure } from '../../kms/errors.ts';
import { observeKey } from '../../kms/observe.ts';
import type { Drift } from '../../schemas/key.ts';
import type { Services } from '../context.ts';
import { desiredOf, driftOf } from '../keys/declared.ts';
import { applyCreate, CreationUnsettled } from './creation.ts';
import { recordGone, recordRemoved } from './endings.ts';
import { type JournalEntry, openJournal } from './journal.ts';
import { Lease, LeaseLost } from './lease.ts';
import { findRecentWrites, timeUntilVerifiable } from './open-writes.ts';
import { recordObservation, recordRetry, type Work } from './record.ts';
import { settleOpenWrites } from './recovery.ts';
import { takeBack } from './refusal.ts';
import { isFinal } from './retry.ts';
import { recordDone, recordSkipped, sendWrite } from './send.ts';

/** Milliseconds after a key's deletion date at which KMS is asked whether it is gone. */
const deletionGrace = 5000;
/** Milliseconds between looks at a key whose deletion waits for its replicas, or is late. */
const deletionPoll = 3_600_000;

/**
 * Syncs one key, until nothing more is asked for. Does nothing when another worker is at it: that one will see what
 * is new before it ends.
 */
export async function syncKey(services: Services, keyId: string): Promise<void> {
  const taken = await Lease.take(services.database.prisma, keyId, services.times.lease);
  if (taken === null) return;
  const { lease } = taken;
  if (taken.isTakeover) services.log.info({ key: keyId }, 'took a key over from a worker that fell silent');
  try {
    await services.failurePoints.pass('lease-taken');
    for (let row: KeyRow | null = taken.row; row !== null; ) row = await syncOnce(services, { row, lease });
  } catch (error) {
    if (!(error instanceof LeaseLost)) throw error;
    services.log.warn({ key: keyId }, 'another worker took over');
  } finally {
    lease.stop();
  }
}

/** @returns the row when it asks for another round, else null. */
async function syncOnce(services: Services, work: Work): Promise<KeyRow | null> {
  const kms = services.kmsFor(work.row.provider);
  try {
    if (kms === undefined) throw noProvider(work.row);
    const row = await settleOpenWrites(services, kms, work);
    return await converge(services, kms, { ...work, row });
  } catch (error) {
    return recordFailure(services, work, error);
  }
}

async function recordFailure(services: Services, work: Work, error: unknown): Promise<KeyRow | null> {
  if (error instanceof CreationUnsettled) {
    const failure = new KmsFailure('fault', 'CreateKeyOutcomeUnknown', error.message, 'CreateKey', false);
    return recordRetry(services, work, failure, { noLaterThan: error.until });
  }
  if (!(error instanceof KmsFailure)) throw error;
  if (isFinal(error, work.row.attempts + 1)) return takeBack(services, work, error);
  return recordRetry(services, work, error);
}

async function converge(services: Services, kms: Kms, work: Work): Promise<KeyRow | null> {
  const { row } = work;
  const { key_id: keyId } = row;
  if (keyId === null && row.lifecycle !== 'managed') return recordRemoved(services, work);
  const unverified = row.writes_open ? await timeUntilVerifiable(services, row.id) : 0;
  let observed: ObservedKey | null = null;
  if (keyId !== null) {
    try {
      observed = await observeForSync(services, kms, row, keyId);
    } catch (error) {
      const failure = toKmsFailure(error, 'DescribeKey');
      if (failure.kind === 'not_found') return recordGone(services, work, failure);
      throw failure;
    }
  }
  const desired = desiredOf(row, services.ownershipTagName);
  const steps = isOnlyObserved(row) ? [] : plan(desired, observed);
  const reached = await applyAll(services, kms, work, observed, steps);
  if (row.lifecycle === 'released') {
    // The record goes when no older write can bring the ownership tag back.
    return unverified > 0
      ? recordRetry(services, work, lateWrite(), { dueIn: unverified })
      : recordRemoved(services, work);
  }
  const drift = withSince(differences(desired, reached), driftOf(row));
  return recordObservation(services, work, {
    observed: reached,
    drift,
    holds: !isOnlyObserved(row),
    dueAt: nextLook(reached),
    unverified,
  });
}

/** What KMS holds. For a change, or after a crash, Keyward's own latest writes count for more than a read that lacks them. */
async function observeForSync(services: Services, kms: Kms, row: KeyRow, keyId: string): Promise<ObservedKey> {
  if (row.generation === row.synced_generation && !row.writes_open) return observeKey(kms, keyId);
  const writes = await findRecentWrites(services, row.id);
  return withRecentWrites(await observeKey(kms, keyId), writes);
}

/** POST …/refresh asks for a look at a key that is in sync, and for nothing else. */
function isOnlyObserved(row: KeyRow): boolean {
  const asked = row.requested_observation > row.served_observation && !row.writes_open;
  return asked && row.enforce_through <= row.served_observation && row.generation === row.synced_generation;
}

async function applyAll(
  services: Services,
  kms: Kms,
  work: Work,
  observed: ObservedKey | null,
  steps: Step[],
): Promise<ObservedKey> {
  let reached = observed;
  const journal = steps.length === 0 ? [] : await openJournal(services, work, steps);
  for (const [index, entry] of journal.entries()) {
    try {
      reached = await applyOne(services, kms, work, reached, entry);
    } catch (error) {
      await recordSkipped(services, work, journal.slice(index + 1));
      throw error;
    }
  }
  if (reached === null) throw new Error(`The plan for key ${work.row.id} leaves it without a KMS key`);
  return reached;
}

async function applyOne(
  services: Services,
  kms: Kms,
  work: Work,
  before: ObservedKey | null,
  entry: JournalEntry,
): Promise<ObservedKey> {
  const { step } = entry;
  if (step.operation === 'CreateKey') return applyCreate(services, kms, work, { ...entry, step });
  if (before === null) throw new Error(`${step.operation} is planned for a key that does not exist`);
  const { key_id: keyId } = before;
  const deletionDate = await sendWrite(services, work, entry, (permit) => applyStep(kms, keyId, step, permit));
  await recordDone(services, work, entry);
  return afterStep(before, step, deletionDate);
}

function withSince(found: { field: string; desired: unknown; observed: unknown }[], before: Drift[]): Drift[] {
  const now = new Date().toISOString();
  return found.map((difference) => ({
    ...difference,
    since: before.find(({ field }) => field === difference.field)?.since ?? now,
  }));
}

/** A key pending deletion is looked at when its time has come. */
function nextLook(observed: ObservedKey): Date | null {
  if (observed.key_state === 'PendingReplicaDeletion') return new Date(Date.now() + deletionPoll);
  if (observed.key_state !== 'PendingDeletion' || observed.deletion_date === null) return null;
  const due = Date.parse(observed.deletion_date) + deletionGrace;
  return new Date(due > Date.now() ? due : Date.now() + deletionPoll);
}

function lateWrite(): KmsFailure {
  const message =
    'An earlier write has an unknown outcome; Keyward lets go of the key when it can no longer take effect';
  return new KmsFailure('fault', 'WriteOutcomeUnknown', message, 'UntagResource', false);
}

function noProvider(row: KeyRow): KmsFailure {
  return new KmsFailure('credentials', 'NoSuchProvider', `There is no provider ${row.provider}`, 'DescribeKey', true);
}

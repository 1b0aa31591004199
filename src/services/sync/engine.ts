/** The one path of every change: observe, plan, apply, record. */
import type { KeyRow } from '../../database/client.ts';
import { mayRotate } from '../../domain/after-step.ts';
import { differences } from '../../domain/drift.ts';
import { isPendingDeletion } from '../../domain/key-state.ts';
import { plan } from '../../domain/planner.ts';
import { claimedIdIn } from '../../domain/tags.ts';
import type { DesiredKey, ObservedKey, Step } from '../../domain/types.ts';
import { withDeclared } from '../../domain/untold.ts';
import { KmsFailure, toKmsFailure } from '../../kms/errors.ts';
import { readRotation } from '../../kms/observe.ts';
import { currentUrgency } from '../../kms/urgency.ts';
import type { Services } from '../context.ts';
import { desiredOf, driftOf } from '../keys/declared.ts';
import { type Access, accessToKey } from '../providers/access.ts';
import { servicesFor } from '../providers/quotas.ts';
import { adoptable, adoptDrift } from './adoption.ts';
import { assertAsAsked, assertAttainable, outOfReach } from './attainable.ts';
import { CreationUnsettled } from './creation.ts';
import { findDrift, isHeld, withSince } from './drift.ts';
import { findFormerCreation } from './first-creation.ts';
import { deleteFormerKeys } from './former-keys.ts';
import { isOnHold, releaseHold } from './held.ts';
import { Lease, LeaseLost, StoodStill, type Work } from './lease.ts';
import { type Look, look, noLook } from './look.ts';
import { isToBeMended, modeOf, nextLook } from './mode.ts';
import { findUnverifiedWrites, timeSinceFirstRefusal, timeUntilVerifiable } from './open-writes.ts';
import { settlePolicyForm } from './policy-form.ts';
import { recordDriftFound, recordObservation, recordRetry } from './record.ts';
import { settleOpenWrites } from './recovery.ts';
import { takeBack } from './refusal.ts';
import { recordGone, recordRemoved } from './removal.ts';
import { beginReplacement, homeOf } from './replacement.ts';
import { isFinal, isRead, mayHeal, retryDelay } from './retry.ts';
import { rotateOnDemand } from './rotation.ts';
import { recordSkipped } from './send.ts';
import { applyAll, disabledAtOnce } from './steps.ts';
import { assertTagsKept } from './tags-kept.ts';
import { findInVain, isNotIn, noEffect, sinceInVain, stepsNow, stillShown } from './vain.ts';

/** What was read of a key a while ago, and the status_version that its row had then. */
export type Seen = { read: ObservedKey; statusVersion: number };

/**
 * How one comes to sync a key.
 * - seen: not read again, unless the key has been synced since, or somebody has asked for a look.
 * - isPassedOn: by a batch, which has put off when it is due; else what tells of a key may not know of its last sync.
 */
export type HowTaken = { seen?: Seen | undefined; isPassedOn?: boolean };

/**
 * Syncs one key, until nothing more is asked for. Does nothing when it is not due any more, or another worker is at it: that one
 * will see what is new before it ends.
 */
export async function syncKey(services: Services, keyId: string, { seen, isPassedOn }: HowTaken = {}): Promise<void> {
  const taken = await Lease.take(services, keyId, { onlyDue: isPassedOn !== true });
  if (taken === null) return;
  const { row } = taken;
  if (row.lease_until !== null) services.watch.tellTime(row.lease_until.getTime() - services.times.lease);
  if (taken.isTakeover) services.log.info({ key: keyId }, 'took a key over from a worker that fell silent');
  await syncTaken(services, taken, seen);
}

/** The same for a key whose lease is taken. */
export async function syncTaken(services: Services, { lease, row, opened }: Work, seen?: Seen): Promise<void> {
  const { id: keyId } = row;
  const work = { row, lease, ...(opened === undefined ? {} : { opened }) };
  try {
    await Promise.race([syncWhileAsked(services, work, seen), lease.standstill]);
  } catch (error) {
    if (!(error instanceof LeaseLost)) throw error;
    if (error instanceof StoodStill)
      services.log.error({ key: keyId }, 'a sync stood still: its key is left to others');
    else services.log.warn({ key: keyId }, 'another worker took over');
  } finally {
    lease.stop();
  }
}

async function syncWhileAsked(services: Services, work: Work, seen: Seen | undefined): Promise<void> {
  await services.failurePoints.pass('lease-taken');
  if (work.opened !== undefined) await services.failurePoints.pass('writes-recorded');
  const { lease } = work;
  const { status_version, requested_observation, served_observation } = work.row;
  const isFresh = seen?.statusVersion === status_version && requested_observation === served_observation;
  let row = await syncOnce(services, { ...work, ...(isFresh ? { seen: seen.read } : {}) });
  while (row !== null) {
    // Somebody asked for more meanwhile.
    currentUrgency().isInteractive = true;
    row = await syncOnce(services, { row, lease });
  }
}

/** @returns the row when it asks for another round, else null. */
async function syncOnce(anywhere: Services, asTaken: Work): Promise<KeyRow | null> {
  let services = anywhere;
  let work = asTaken;
  try {
    services = await servicesFor(anywhere, work.row.provider);
    if (isOnHold(work)) {
      const released = await releaseHold(services, work);
      if ('next' in released) return released.next;
      work = released;
    }
    const access = await accessToKey(services, await homeOf(services, work.row));
    if (work.opened !== undefined) return await converge(services, access, work);
    const settled = await settleOpenWrites(services, access.kms, work);
    const begun = await beginReplacement(services, { ...work, row: settled });
    const row = await findFormerCreation(services, access.kms, { ...work, row: begun });
    return await converge(services, access, { ...work, row });
  } catch (error) {
    await recordSkipped(services, work, work.opened?.take() ?? []);
    return recordFailure(services, work, error);
  }
}

async function recordFailure(services: Services, work: Work, error: unknown): Promise<KeyRow | null> {
  if (error instanceof CreationUnsettled) {
    const failure = new KmsFailure('fault', error.code, error.message, 'CreateKey', false);
    return recordRetry(services, work, failure, { noLaterThan: error.until });
  }
  if (isMisunderstanding(error)) return recordRetry(services, work, misunderstood(error));
  if (!(error instanceof KmsFailure)) throw error;
  // What was not written can't be refused, and a held key is to be compared soon.
  if (isOnHold(work)) {
    return recordRetry(services, work, error, { dueIn: retryDelay(work.row.attempts + 1, Math.random()) });
  }
  const propagation = services.failurePoints.isOff('denials-are-final') ? 0 : services.times.propagation;
  const refusedFor = mayHeal(error) ? await timeSinceFirstRefusal(services, work.row, error) : 0;
  if (isFinal(error, { attempts: work.row.attempts + 1, refusedFor, propagation })) {
    return takeBack(services, work, error);
  }
  if (isRead(error) || !mayHeal(error)) return recordRetry(services, work, error);
  const end = new Date(services.now() + propagation - refusedFor);
  return recordRetry(services, work, waitingFor(error, end), { noLaterThan: end });
}

/** What JavaScript throws where a value has another shape than the code takes it to have. */
function isMisunderstanding(error: unknown): error is Error {
  return error instanceof TypeError || error instanceof RangeError || error instanceof SyntaxError;
}

/** A key that Keyward can make no sense of says so itself, rather than being tried again and again in silence. */
function misunderstood({ message }: Error): KmsFailure {
  const detail = `Keyward can make no sense of what KMS holds of this key: ${message}`;
  return new KmsFailure('fault', 'UnusableAnswer', detail, 'DescribeKey', true);
}

/** The same failure, with what it waits for in its words. */
function waitingFor({ kind, code, message, operation }: KmsFailure, end: Date): KmsFailure {
  const cause = kind === 'denied' ? 'a right that was just given' : 'a principal or key that was just made';
  const patience = `Keyward tries again until ${end.toISOString()}, since ${cause} may not be known to KMS yet.`;
  return new KmsFailure(kind, code, `${message.replace(/[^.!?]$/, '$&.')} ${patience}`, operation, true);
}

async function converge(services: Services, access: Access, begun: Work): Promise<KeyRow | null> {
  const { kms, settings } = access;
  const { key_id: keyId } = begun.row;
  if (keyId === null && begun.row.lifecycle !== 'managed') return recordRemoved(services, begun);
  const unverified = begun.row.writes_open ? await timeUntilVerifiable(services, begun.row.id) : 0;
  const mode = await modeOf(services, begun.row);
  let seen = noLook;
  if (keyId !== null) {
    try {
      seen = await look(services, kms, begun, desiredOf(begun.row, settings, services.ownershipTagName));
    } catch (error) {
      const failure = toKmsFailure(error, 'DescribeKey');
      if (failure.kind === 'not_found') return recordGone(services, access, begun, failure);
      throw failure;
    }
  }
  const { observed } = seen;
  if (observed !== null && mode !== 'claim') assertOwn(begun.row, observed, services.ownershipTagName);
  const work = observed === null ? begun : await settlePolicyForm(services, begun, observed);
  const { row } = work;
  const desired = desiredOf(row, settings, services.ownershipTagName);
  assertAttainable(mode, row, desired, observed);
  if (mode === 'enforce') assertAsAsked(row, desired, observed);
  if (observed !== null) await assertTagsKept(services, kms, row, observed, seen.read?.tags);
  const unknown = row.writes_open && isHeld(row) ? await findUnverifiedWrites(services, row) : [];
  const differing = observed === null ? [] : await findDrift(services, settings, row, observed, unknown);
  const vain =
    mode === 'adopt' || mode === 'claim' ? [] : await findInVain(services, row, desired, observed, differing);
  const found = sinceInVain(differing, vain);
  const adopted =
    mode === 'adopt' && found.length > 0 && observed !== null && adoptable(services, row, settings, observed);
  if (adopted) return adoptDrift(services, work, adopted, found);
  // Drift is on record before it is mended, so that what was there can be told.
  const known = found.length > 0 && mode === 'enforce' ? await recordDriftFound(services, work, found) : work;
  const planned = stepsNow(mode, row, desired, seen.planned, { vain, unknown, now: services.now() });
  const steps = await disabledAtOnce(services, work, seen.planned, planned);
  const done = await applyAll(services, kms, known, seen.planned, steps, desired);
  const { reached, settling, current } = await putCancelledRight(services, access, known, desired, seen, {
    steps,
    done,
  });
  const unrotated = await rotateOnDemand(services, kms, work, reached, (key, step) =>
    applyAll(services, kms, work, key, [step]),
  );
  const hindrance = (await deleteFormerKeys(services, kms, work)) ?? unrotated;
  if (mode === 'enforce' && row.lifecycle === 'managed' && !isHeld(row) && reached.enabled === null) {
    return recordRetry(services, known, untold(reached));
  }
  if (row.lifecycle === 'released') {
    if (hindrance !== null) return recordRetry(services, work, hindrance.failure);
    // The record goes when no older write can bring the ownership tag back.
    return unverified > 0
      ? recordRetry(services, work, lateWrite(), { dueIn: unverified })
      : recordRemoved(services, work);
  }
  const holds = mode === 'enforce' || mode === 'claim';
  const held = holds ? withDeclared(reached, desired) : reached;
  const now = services.now();
  const drift = stillShown(withSince(differences(desired, reached), driftOf(current.row), now), found, vain);
  const refresh = settings.refresh_interval_seconds * 1000;
  const next = nextLook(row, reached, {
    now,
    // Whether a mend had its effect is seen as soon as that can be.
    settling: found.length > 0 && steps.length > 0 ? services.times.settle : settling,
    refresh,
    isToBeMended: isToBeMended(row, mode, { drift: drift.filter(isNotIn(vain)), desired, reached }),
  });
  return recordObservation(services, current, {
    observed: held,
    drift,
    holds,
    holdsDefaultTags: !isPendingDeletion(reached),
    dueAt: earliest(hindrance?.dueAt, next),
    unverified,
    error: hindrance?.error ?? noEffect(vain, steps, now) ?? outOfReach(row, desired, reached),
    ...(observed === null ? {} : { observedAt: seen.at }),
  });
}

/**
 * A key that carries the ownership tag of another record is that one's: nothing of it is changed. (An import takes over a
 * tag that names no record any more, and release leaves the key as it is.)
 * @throws KmsFailure
 */
function assertOwn(row: KeyRow, { arn, tags }: ObservedKey, ownershipTagName: string): void {
  const owner = claimedIdIn(tags, ownershipTagName);
  if (owner === null || owner === row.id || row.lifecycle === 'released') return;
  const message = `${arn} carries the ownership tag of ${owner}; Keyward changes nothing of it until it carries this record's, ${row.id}. Release lets go of it.`;
  throw new KmsFailure('refused', 'OwnedByAnother', message, 'TagResource', true);
}

/**
 * Of a key pending deletion KMS says that it does not rotate, and a key may come out of that enabled. What comes back with the
 * cancelling and was not declared is turned off along with the rest.
 */
async function putCancelledRight(
  services: Services,
  { kms, settings }: Access,
  work: Work,
  desired: DesiredKey,
  { observed, settling, believe }: Look,
  { steps, done }: { steps: Step[]; done: ObservedKey },
): Promise<{ reached: ObservedKey; settling: number; current: Work }> {
  const isCancelled = steps.some(({ operation }) => operation === 'CancelKeyDeletion');
  const isWritten = steps.some(({ operation }) => /^(En|Dis)ableKeyRotation$/.test(operation));
  if (observed === null || !isCancelled) return { reached: done, settling, current: work };
  const isRead = !isWritten && mayRotate(done);
  const read = isRead ? believe({ ...observed, rotation: await readRotation(kms, done.key_id) }) : done;
  const comesRotating = isRead && read.rotation?.enabled === true;
  // That it does not rotate may be an answer from before the cancelling.
  const settlingNow = isRead && !comesRotating ? services.times.settle : settling;
  const comesEnabled = done.enabled === true && !desired.is_enabled;
  if (!comesRotating && !comesEnabled) return { reached: done, settling: settlingNow, current: work };
  const restored = { ...done, rotation: comesRotating ? read.rotation : done.rotation };
  const found = await findDrift(services, settings, work.row, restored);
  const current = found.length > 0 ? await recordDriftFound(services, work, found) : work;
  const reached = await applyAll(services, kms, current, restored, plan(desired, restored));
  return { reached, settling: settlingNow, current };
}

function untold({ key_state: state }: ObservedKey): KmsFailure {
  const message = `The key is ${state}: KMS does not tell whether it is enabled; Keyward goes on when it does`;
  return new KmsFailure('fault', 'KeyStateUntold', message, 'DescribeKey', true);
}

function lateWrite(): KmsFailure {
  const message =
    'An earlier write has an unknown outcome; Keyward lets go of the key when it can no longer take effect';
  return new KmsFailure('fault', 'WriteOutcomeUnknown', message, 'UntagResource', false);
}

function earliest(first: Date | undefined, second: Date): Date {
  return first !== undefined && first < second ? first : second;
}

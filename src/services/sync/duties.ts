/** What a sync has to see to, in this order. */
import { isReplica, mayRotate } from '../../domain/after-step.ts';
import { differences } from '../../domain/drift.ts';
import { isPendingDeletion } from '../../domain/key-state.ts';
import { plan } from '../../domain/planner.ts';
import { claimedIdIn } from '../../domain/tags.ts';
import type { ObservedKey } from '../../domain/types.ts';
import { withDeclared } from '../../domain/untold.ts';
import { KmsFailure, toKmsFailure } from '../../kms/errors.ts';
import { readRotation } from '../../kms/observe.ts';
import { desiredOf, driftOf } from '../rows/declared.ts';
import { isSynced } from '../rows/predicates.ts';
import { adoptable, adoptDrift } from './adoption.ts';
import { leaveAliases } from './alias-dispute.ts';
import { settleAliases } from './aliases.ts';
import { assertAsAsked, assertAttainable, outOfReach } from './attainable.ts';
import { findDrift, withSince } from './drift.ts';
import type { Apply } from './errand.ts';
import { carryOutErrands } from './errands.ts';
import { adoptReplica, findFormerCreation } from './first-creation.ts';
import { deleteFormerKeys } from './former-keys.ts';
import { recordRest } from './journal.ts';
import { type Look, look, noLook } from './look.ts';
import { isToBeMended, modeOf, nextLook } from './mode.ts';
import { findUnverifiedWrites, timeUntilVerifiable } from './open-writes.ts';
import { keyStateUntold } from './passing-state.ts';
import { settlePolicyForm } from './policy-form.ts';
import { recordDriftFound, recordObservation, recordRetry } from './record.ts';
import { settleOpenWrites } from './recovery.ts';
import { recordGone, recordRemoved } from './removal.ts';
import { beginReplacement } from './replacement.ts';
import { withPrimary } from './replication.ts';
import { followRoles, promote } from './roles.ts';
import { applyAll, disabledAtOnce } from './steps.ts';
import type { Beginning, Duty, Ended, Sync } from './sync.ts';
import { assertTagsKept } from './tags-kept.ts';
import { findInVain, isNotIn, noEffect, sinceInVain, stepsNow, stillShown } from './vain.ts';

/** Which KMS key is the record's. What was begun with the intent was found to be clear. */
export const identification: Duty<Beginning>[] = [
  async (sync) => withRow(sync, await settleOpenWrites(sync.services, sync.access.kms, sync.work)),
  async (sync) => withRow(sync, await beginReplacement(sync.services, sync.work)),
  async (sync) => withRow(sync, await findFormerCreation(sync.services, sync.access.kms, sync.work)),
  async (sync) => withRow(sync, await adoptReplica(sync.services, sync.access.kms, sync.work)),
];

/** What is done with it. */
export const duties: Duty<Sync>[] = [
  settleForm,
  leaveAliases,
  settleAliases,
  assertRight,
  findDifferences,
  adopt,
  putDriftOnRecord,
  carryOutPlan,
  putCancelledRight,
  promote,
  runErrands,
  scheduleFormerKeys,
  waitForState,
  letGo,
  followRoles,
  recordLook,
];

function withRow(sync: Beginning, row: Beginning['work']['row']): Beginning {
  return { ...sync, work: { ...sync.work, row } };
}

/**
 * Looks at the key, if KMS has one.
 * @param had a look to go by instead.
 */
export async function beginWithLook({ services, access, work }: Beginning, had?: Look): Promise<Sync | Ended> {
  const { row } = work;
  if (row.key_id === null && row.lifecycle !== 'managed') return { next: await recordRemoved(services, work) };
  const unverified = row.writes_open ? await timeUntilVerifiable(services, row.id) : 0;
  const mode = await modeOf(services, row);
  const declared = desiredOf(row, access.settings, services.ownershipTagName);
  const desired = await withPrimary(services, access, row, declared);
  let seen = had ?? noLook;
  if (row.key_id !== null && had === undefined) {
    try {
      seen = await look(services, access.kms, work, desired);
    } catch (error) {
      const failure = toKmsFailure(error, 'DescribeKey');
      if (failure.kind === 'not_found') return { next: await recordGone(services, access, work, failure) };
      throw failure;
    }
  }
  const nothing = { unknown: [], found: [], vain: [], steps: [], hindrance: null };
  const { settling, observed: reached } = seen;
  return { services, access, work, mode, desired, look: seen, unverified, settling, reached, ...nothing };
}

async function settleForm(sync: Sync): Promise<Sync> {
  const { services, access, mode, look } = sync;
  if (look.observed === null) return sync;
  if (mode !== 'claim') assertOwn(sync.work.row, look.observed, services.ownershipTagName);
  const work = await settlePolicyForm(services, sync.work, look.observed);
  return { ...sync, work, desired: desiredOf(work.row, access.settings, services.ownershipTagName) };
}

/**
 * A key that carries the ownership tag of another record is that one's: nothing of it is changed. (An import takes over a
 * tag that names no record any more, and release leaves the key as it is.)
 * @throws KmsFailure
 */
function assertOwn(row: Sync['work']['row'], { arn, tags }: ObservedKey, ownershipTagName: string): void {
  const owner = claimedIdIn(tags, ownershipTagName);
  if (owner === null || owner === row.id || row.lifecycle === 'released') return;
  const message = `${arn} carries the ownership tag of another record; Keyward changes nothing of it until it carries this record's, ${row.id}. Release lets go of it.`;
  throw new KmsFailure('refused', 'OwnedByAnother', message, 'TagResource', true);
}

/** The key can become what is declared, and is what it was made to be. */
async function assertRight(sync: Sync): Promise<Sync> {
  const { services, access, work, mode, desired, look } = sync;
  assertAttainable(mode, work.row, desired, look.observed);
  if (mode === 'enforce') assertAsAsked(work.row, desired, look.observed);
  if (look.observed !== null) await assertTagsKept(services, access.kms, work.row, look.observed, look.read?.tags);
  return sync;
}

async function findDifferences(sync: Sync): Promise<Sync> {
  const { services, access, work, mode, desired, look } = sync;
  const { row } = work;
  const unknown = row.writes_open && isSynced(row) ? await findUnverifiedWrites(services, row) : [];
  if (look.observed === null) return { ...sync, unknown };
  const differing = await findDrift(services, access.settings, row, look.observed, unknown);
  const isMending = mode === 'enforce' || mode === 'report';
  const vain = isMending ? await findInVain(services, row, desired, look.observed, differing) : [];
  return { ...sync, unknown, vain, found: sinceInVain(differing, vain) };
}

async function adopt(sync: Sync): Promise<Sync | Ended> {
  const { services, access, work, mode, look, found } = sync;
  if (mode !== 'adopt' || found.length === 0 || look.observed === null) return sync;
  const adopted = adoptable(services, work.row, access.settings, look.observed);
  return adopted === null ? sync : adoptDrift(services, work, look, adopted, found);
}

/** Drift is on record before it is mended, so that what was there can be told. */
async function putDriftOnRecord(sync: Sync): Promise<Sync> {
  const { services, work, mode, found } = sync;
  if (found.length === 0 || mode !== 'enforce') return sync;
  return { ...sync, work: { ...work, ...(await recordDriftFound(services, work, found)) } };
}

async function carryOutPlan(sync: Sync): Promise<Sync> {
  const { services, access, work, mode, desired, look, vain, unknown, found } = sync;
  const planned = stepsNow(mode, work.row, desired, look.planned, { vain, unknown, now: services.now() });
  const steps = await disabledAtOnce(services, work, look.planned, planned);
  const reached = await applyAll(services, access.kms, work, look.planned, steps, desired);
  // Whether a mend had its effect is seen as soon as that can be.
  const settling = found.length > 0 && steps.length > 0 ? services.times.settle : look.settling;
  return { ...sync, steps, reached, settling };
}

/**
 * Of a key pending deletion KMS says that it does not rotate, and a key may come out of that enabled. What comes back with the
 * cancelling and was not declared is turned off along with the rest.
 */
async function putCancelledRight(sync: Sync): Promise<Sync> {
  const { services, access, work, desired, look, steps, reached: done } = sync;
  const { observed } = look;
  const isCancelled = steps.some(({ operation }) => operation === 'CancelKeyDeletion');
  if (observed === null || done === null || !isCancelled) return sync;
  const isWritten = steps.some(({ operation }) => /^(En|Dis)ableKeyRotation$/.test(operation));
  const isRead = !isWritten && mayRotate(done) && !isReplica(done);
  const read = isRead ? look.believe({ ...observed, rotation: await readRotation(access.kms, done.key_id) }) : done;
  const comesRotating = isRead && read.rotation?.enabled === true;
  // That it does not rotate may be an answer from before the cancelling.
  const settling = isRead && !comesRotating ? services.times.settle : sync.settling;
  const comesEnabled = done.enabled === true && !desired.is_enabled;
  if (!comesRotating && !comesEnabled) return { ...sync, settling };
  // Whether the change has begun is told by the journal.
  await recordRest(services, work.lease);
  const restored = { ...done, rotation: comesRotating ? read.rotation : done.rotation };
  const found = await findDrift(services, access.settings, work.row, restored);
  const current = found.length > 0 ? { ...work, ...(await recordDriftFound(services, work, found)) } : work;
  const reached = await applyAll(services, access.kms, current, restored, plan(desired, restored));
  return { ...sync, work: current, settling, reached };
}

async function runErrands(sync: Sync): Promise<Sync> {
  const { services, work, reached: key } = sync;
  const { kms } = sync.access;
  if (key === null) return sync;
  const apply: Apply = (reached, step) => applyAll(services, kms, work, reached, [step]);
  return { ...sync, hindrance: await carryOutErrands({ services, kms, work, key, apply }) };
}

async function scheduleFormerKeys(sync: Sync): Promise<Sync> {
  const hindrance = await deleteFormerKeys(sync.services, sync.access.kms, sync.work);
  return { ...sync, hindrance: hindrance ?? sync.hindrance };
}

async function waitForState(sync: Sync): Promise<Sync | Ended> {
  const { services, work, mode, reached } = sync;
  const isAtRest = mode !== 'enforce' || work.row.lifecycle !== 'managed' || isSynced(work.row);
  if (isAtRest || reached === null || reached.enabled !== null) return sync;
  const message = `The key is ${reached.key_state}: KMS does not tell whether it is enabled; Keyward goes on when it does`;
  const failure = new KmsFailure('fault', keyStateUntold, message, 'DescribeKey', true);
  return { next: await recordRetry(services, work, failure) };
}

/** The record of a released key goes when no older write can bring the ownership tag back. */
async function letGo(sync: Sync): Promise<Sync | Ended> {
  const { services, work, hindrance, unverified } = sync;
  if (work.row.lifecycle !== 'released') return sync;
  if (hindrance !== null) return { next: await recordRetry(services, work, hindrance.failure) };
  if (unverified <= 0) return { next: await recordRemoved(services, work) };
  const message =
    'An earlier write has an unknown outcome; Keyward lets go of the key when it can no longer take effect';
  const failure = new KmsFailure('fault', 'WriteOutcomeUnknown', message, 'UntagResource', false);
  return { next: await recordRetry(services, work, failure, { dueIn: unverified }) };
}

async function recordLook(sync: Sync): Promise<Ended> {
  const { services, access, work, mode, desired, look, found, vain, steps, settling, hindrance, unverified } = sync;
  const { row } = work;
  const known = sync.reached as ObservedKey;
  // Of aliases that are not managed nothing will be known by the next look.
  const reached = desired.aliases === null ? { ...known, aliases: null } : known;
  const holds = mode === 'enforce' || mode === 'claim';
  const now = services.now();
  const drift = stillShown(withSince(differences(desired, reached), driftOf(row), now), found, vain);
  const next = nextLook(row, reached, {
    now,
    settling,
    refresh: access.settings.refresh_interval_seconds * 1000,
    isToBeMended: isToBeMended(row, mode, { drift: drift.filter(isNotIn(vain)), desired, reached }),
  });
  const ended = await recordObservation(services, work, {
    observed: holds ? withDeclared(reached, desired) : reached,
    drift,
    holds,
    holdsDefaultTags: !isPendingDeletion(reached),
    dueAt: hindrance !== null && hindrance.dueAt < next ? hindrance.dueAt : next,
    unverified,
    error: hindrance?.error ?? noEffect(vain, steps, now) ?? outOfReach(row, desired, reached),
    ...(look.observed === null ? {} : { observedAt: look.at }),
  });
  return { next: ended };
}

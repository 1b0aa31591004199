/** Carries out the steps of a plan. */
import { afterStep } from '../../domain/after-step.ts';
import { isPendingDeletion } from '../../domain/key-state.ts';
import { type Answered, isErrand, makesKey } from '../../domain/operations.ts';
import { disablingFirst, wayThroughEnabled } from '../../domain/planner.ts';
import type { DesiredKey, ObservedKey, Step } from '../../domain/types.ts';
import { applyStep } from '../../kms/apply.ts';
import type { Kms } from '../../kms/client.ts';
import { KmsFailure } from '../../kms/errors.ts';
import { describeKey } from '../../kms/observe.ts';
import type { Permit } from '../../kms/permit.ts';
import type { Services } from '../context.ts';
import { observedOf } from '../rows/declared.ts';
import { isSynced } from '../rows/predicates.ts';
import { makingOf } from '../rows/relatives.ts';
import { assertAsAsked } from './attainable.ts';
import { assertClocksAgree } from './clocks.ts';
import { applyCreate, CreationUnsettled } from './creation.ts';
import { isMadeByUs, openJournal } from './journal.ts';
import type { JournalEntry } from './journal-entry.ts';
import type { Work } from './lease.ts';
import { askDeclarers, assertNobodyDeclares } from './overtaken-aliases.ts';
import { notePolicyForm } from './policy-form.ts';
import { senderOf } from './replication.ts';
import { giveTurnsBack, recordDone, recordSkipped, sendWrite } from './send.ts';
import { assertMayCreate, assertTagsKept } from './tags-kept.ts';

/**
 * Carries out steps in their order, each through the journal.
 * @param desired what a key that is made is held against; absent: the steps make none.
 * @throws KmsFailure when a step fails; a key that was to be disabled at their end is disabled first.
 */
export async function applyAll(
  services: Services,
  kms: Kms,
  work: Work,
  observed: ObservedKey | null,
  steps: Step[],
  desired?: DesiredKey,
): Promise<ObservedKey> {
  const isMaking = steps.some(({ operation }) => makesKey(operation));
  // What was begun with the intent was found ready to be sent.
  if (isMaking && work.opened === undefined) {
    await assertClocksAgree(services, kms, makingOf(work.row));
    await assertMayCreate(services, kms, work.row);
  }
  try {
    const reached = await applyEach(services, kms, work, observed, steps, desired);
    if (reached === null) throw new Error(`The plan for key ${work.row.id} leaves it without a KMS key`);
    return reached;
  } finally {
    giveTurnsBack(kms, steps);
    if (isMaking) services.tagTrialOf(kms).leave(work.row.id);
  }
}

async function applyEach(
  services: Services,
  kms: Kms,
  work: Work,
  observed: ObservedKey | null,
  steps: Step[],
  desired: DesiredKey | undefined,
): Promise<ObservedKey | null> {
  let reached = observed;
  const sender = await senderOf(services, kms, work.row, steps);
  const to = { account: (await kms.identity())?.account ?? null, endpoint: kms.endpointName };
  const opened = work.opened?.take() ?? [];
  const journal =
    opened.length > 0 || steps.length === 0 ? opened : await openJournal(services, work, observed, steps, to);
  // Nothing of what follows a step that enables a key is to wait while a key is usable that is to be disabled.
  const [enabling, ...following] = wayThroughEnabled(steps);
  for (const [index, recorded] of journal.entries()) {
    const entry = { ...recorded, ...originOf(work, recorded), ...(recorded.step === enabling ? { following } : {}) };
    const isLast = desired !== undefined && index === journal.length - 1;
    try {
      reached = await applyOne(services, { kms, sender }, work, reached, { entry, isLast });
      if (desired !== undefined && makesKey(entry.step.operation)) {
        assertAsAsked(work.row, desired, reached);
        await assertTagsKept(services, kms, work.row, reached);
      }
      await notePolicyForm(services, kms, work, reached, entry.step);
    } catch (error) {
      await recordSkipped(services, work, journal.slice(index + 1));
      await goBack(services, kms, work, reached, steps.slice(index), error);
      throw error;
    }
  }
  return reached;
}

/** Some writes are asked for, and a write of unknown outcome repeated; what else a held generation needs is drift put right. */
function originOf({ row }: Work, { step }: JournalEntry): Pick<JournalEntry, 'origin'> {
  const isMending = isSynced(row) && !row.writes_open && !isErrand(step.operation);
  return isMending ? { origin: 'drift' } : {};
}

/**
 * The steps for a key that is enabled and was not declared to be, as after a worker's end on the way: it is disabled first. A key
 * that its owners use is disabled last, since what comes before may be refused.
 */
export async function disabledAtOnce(
  services: Services,
  { row }: Work,
  observed: ObservedKey | null,
  steps: Step[],
): Promise<Step[]> {
  const first = disablingFirst(steps);
  if (observed?.enabled !== true || first.length === 1 || services.failurePoints.isOff('no-going-back')) return steps;
  const known = observedOf(row);
  const wasInUse = known === null ? !(await isMadeByUs(services, row.id, observed.key_id)) : known.enabled === true;
  return wasInUse ? steps : first;
}

/** @param ways to the KMS that has the key, and to the one that takes the step. */
async function applyOne(
  services: Services,
  ways: { kms: Kms; sender: Kms },
  work: Work,
  before: ObservedKey | null,
  { entry, isLast }: { entry: JournalEntry; isLast: boolean },
): Promise<ObservedKey> {
  const { step } = entry;
  if (step.operation === 'CreateKey' || step.operation === 'ReplicateKey') {
    return applyCreate(services, ways, work, { ...entry, step }, { isLast });
  }
  if (before === null) throw new Error(`${step.operation} is planned for a key that does not exist`);
  const { key_id: keyId } = before;
  const { kms, sender } = ways;
  const send = async (permit: Permit) => {
    await assertNobodyDeclares(services, work.row, step);
    return applyStep(sender, keyId, step, permit);
  };
  const answered = await sendWrite(services, sender, work, entry, send).catch(async (error) => {
    if (error instanceof KmsFailure && !error.certainlyNotDone) await askDeclarers(services, work.row, [step]);
    throw error;
  });
  await askDeclarers(services, work.row, [step]);
  const after = afterStep(before, step, answered);
  const isTold = tellsState(step, answered);
  const isChanged = after.key_state !== before.key_state;
  const key_state = isTold && isChanged ? after.key_state : undefined;
  await recordDone(services, work, entry, { key_state, isLast });
  return isTold ? after : readState(kms, after);
}

/** Whether it is known by the answer in which state the key is, or KMS documents one for it. Of a cancelling it depends on the KMS. */
function tellsState({ operation }: Step, { key_state, deletion_date }: Answered): boolean {
  if (operation === 'CancelKeyDeletion') return false;
  return (
    operation !== 'ScheduleKeyDeletion' ||
    (key_state !== null && (key_state !== 'PendingDeletion' || deletion_date !== null))
  );
}

/** What KMS shows of the key's state, unless that is from before the call. @throws KmsFailure */
async function readState(kms: Kms, after: ObservedKey): Promise<ObservedKey> {
  const read = await describeKey(kms, after.key_id);
  if (isPendingDeletion(read) !== isPendingDeletion(after)) return after;
  const { key_state, enabled, deletion_date } = read;
  return { ...after, key_state, enabled, deletion_date };
}

/**
 * A key that was enabled for a change of its rotation only, or is new, is not to stay usable while what failed waits for
 * its next turn: it is disabled at once. Should that fail too, the next attempt will have it among its steps.
 */
async function goBack(
  services: Services,
  kms: Kms,
  work: Work,
  reached: ObservedKey | null,
  [failed, ...skipped]: Step[],
  error: unknown,
): Promise<void> {
  const isWaiting = error instanceof KmsFailure || error instanceof CreationUnsettled;
  if (!isWaiting || services.failurePoints.isOff('no-going-back')) return;
  const leavesDisabled = skipped.some(({ operation }) => operation === 'DisableKey');
  const mayBeEnabled =
    reached?.enabled === true ||
    (failed?.operation === 'EnableKey' && error instanceof KmsFailure && !error.certainlyNotDone);
  if (reached === null || !leavesDisabled || !mayBeEnabled || failed?.operation === 'DisableKey') return;
  try {
    const enabled = { ...reached, key_state: 'Enabled', enabled: true } as const;
    await applyAll(services, kms, work, enabled, [{ operation: 'DisableKey', field: 'is_enabled', parameters: {} }]);
  } catch (failure) {
    if (!(failure instanceof KmsFailure)) throw failure;
    services.log.warn({ key: work.row.id, code: failure.code }, 'a key that is to be disabled stays enabled for now');
  }
}

/** Ends the hold on keys, as somebody decides: what KMS has is kept, or what is declared is enforced. */
import type { Prisma, Transaction } from '../../database/client.ts';
import type { TakenAlias } from '../../domain/aliases.ts';
import { isPendingDeletion } from '../../domain/key-state.ts';
import type { FoundAfterGap } from '../../domain/recorded.ts';
import type { ObservedKey } from '../../domain/types.ts';
import { isUuid } from '../../domain/uuid.ts';
import { mostRefusals, type RecoveryResume, type RecoveryResumed } from '../../schemas/recovery.ts';
import type { Actor, Services } from '../context.ts';
import { recordEvent } from '../history/log.ts';
import { findClaims } from '../keys/aliases.ts';
import { recordChange } from '../keys/intents.ts';
import { neighboursOf } from '../keys/same-kms.ts';
import { invalidInput, keyNotFound, ProblemError } from '../problems.ts';
import { bringAllAlong } from '../providers/bring-along.ts';
import { settingsFor } from '../providers/settings.ts';
import { gapAndTimeIn } from '../recovery/hold.ts';
import { type DeclaredKey, declaredOf, observedIn } from '../rows/declared.ts';
import { countUnchecked, decidedOn, findHeldRows } from '../rows/gap.ts';
import type { KeyRow } from '../rows/key-row.ts';
import { isHeldBack } from '../rows/predicates.ts';
import { holdRow, oneMoreAsked, statusMoves, writeRow } from '../rows/write.ts';
import { declaredAsObserved } from '../sync/adoption.ts';

/** Keys read at once. */
const batchSize = 200;
/** Milliseconds for which keys are brought along with changes of their providers. */
const longestBringing = 60_000;

/**
 * Resumes the keys that were compared with KMS and differ. One whose state in KMS can't be declared stays held, and is told of.
 * @throws ProblemError not-found for an id that is no key's, invalid-input for a key that is not held.
 */
export async function resume(services: Services, request: RecoveryResume, by: Actor): Promise<RecoveryResumed> {
  const { gap } = await gapAndTimeIn(services.database.prisma);
  if (request.keys !== 'all') await assertHeld(services, request.keys, gap);
  // What is kept of a key's tags is told from its provider's by the settings as they are.
  await bringAllAlong(services, AbortSignal.timeout(longestBringing));
  const asked = request.keys === 'all' ? null : request.keys;
  const told: Pick<RecoveryResumed, 'resumed' | 'not_resumed' | 'refused'> = {
    resumed: 0,
    not_resumed: 0,
    refused: [],
  };
  let last: string | undefined;
  for (;;) {
    const rows = await findHeldRows(services.database.prisma, asked, { gap, after: last, count: batchSize });
    for (const row of rows) {
      try {
        if (await resumeKey(services, row, request.as, by)) told.resumed += 1;
      } catch (error) {
        // What KMS has of one key, as more tags than fit beside the default tags, holds up no other.
        if (!(error instanceof ProblemError && error.kind === 'invalid-input')) throw error;
        told.not_resumed += 1;
        if (told.refused.length < mostRefusals) told.refused.push({ id: row.id, errors: error.errors ?? [] });
      }
    }
    last = rows.at(-1)?.id;
    if (rows.length < batchSize) break;
  }
  return { ...told, not_checked: await countUnchecked(services.database.prisma, asked, gap) };
}

async function assertHeld({ database }: Services, ids: string[], gap: number): Promise<void> {
  const where = { key_ref: { in: ids.filter(isUuid) } };
  const rows = await database.prisma.work.findMany({ where, select: { key_ref: true, gap_seen: true } });
  const known = new Map(rows.map((row) => [row.key_ref, row]));
  const violations = ids.flatMap((id, index) => {
    const row = known.get(id.toLowerCase());
    if (row === undefined) throw keyNotFound(id);
    return isHeldBack(row, gap)
      ? []
      : [{ pointer: `/keys/${index}`, code: 'invalid_value' as const, detail: `The key ${id} is not held.` }];
  });
  if (violations.length > 0) throw invalidInput(violations);
}

/** @returns whether it was resumed: not when somebody has decided on the key meanwhile. */
async function resumeKey(services: Services, row: KeyRow, as: 'observed' | 'declared', by: Actor): Promise<boolean> {
  const found = row.gap_found as unknown as FoundAfterGap;
  // Nothing can be kept of a key that is gone: its sync says that it is lost.
  if (as === 'declared' || found.observed === null) return enforce(services, row, { as, found }, by);
  const observed = observedIn(found.observed);
  const { arn, key_id } = observed;
  const declared = await declaredByKms(services, row, observed);
  const columns = { arn, key_id, observed: observed as unknown as Prisma.InputJsonObject };
  const also = (transaction: Transaction) => recordResumed(transaction, row, { as, found }, by);
  const taken = await declaredOfOthers(services, row, declared.aliases ?? []);
  return (await recordChange(services, row, { declared, origin: 'recovery', columns, also, taken }, by)) !== null;
}

/** KMS shows these aliases of this key: what declares one of another is older. */
async function declaredOfOthers(services: Services, { id, provider }: KeyRow, names: string[]): Promise<TakenAlias[]> {
  const { same, apart } = await neighboursOf(services, provider, names);
  const claims = await findClaims(services.database.prisma, { id, provider, apart }, names);
  const known = claims.filter((claim) => claim.provider === provider || same.includes(claim.provider));
  return known.map(({ name, key_ref }) => ({ alias: name, id: key_ref, arn: null, was_declared: true }));
}

/** What the report shows of the key, as the desired state. A key without its ownership tag was let go of. */
async function declaredByKms(services: Services, row: KeyRow, observed: ObservedKey): Promise<DeclaredKey> {
  const before = declaredOf(row);
  if (observed.tags[services.ownershipTagName] !== row.id) {
    return { ...before, lifecycle: 'released', pending_window_in_days: null };
  }
  const declared = declaredAsObserved(services, row, await settingsFor(services, row.provider), observed);
  return isPendingDeletion(observed) ? { ...declared, lifecycle: 'pending_deletion' } : declared;
}

type Decision = { as: 'observed' | 'declared'; found: FoundAfterGap };

async function enforce(services: Services, row: KeyRow, decision: Decision, by: Actor): Promise<boolean> {
  const isResumed = await services.database.prisma.$transaction(async (transaction) => {
    const { gap, now } = await gapAndTimeIn(transaction);
    const observation = row.requested_observation + 1;
    const held = await holdRow(transaction, { id: row.id, asked: row.asked });
    // A gap since has everything to be compared anew.
    if (held === null || !isHeldBack(held, gap) || held.gap_checked < gap) return false;
    const decided = { requested_observation: observation, enforce_through: observation, attempts: 0 };
    await writeRow(
      transaction,
      { id: row.id },
      { ...decidedOn(gap), ...decided, due_at: new Date(now), ...statusMoves, ...oneMoreAsked },
    );
    await recordResumed(transaction, row, decision, by);
    await services.notifications.wake(transaction, row);
    return true;
  });
  await services.failurePoints.pass('intent-recorded');
  return isResumed;
}

async function recordResumed(transaction: Transaction, row: KeyRow, { as, found }: Decision, by: Actor): Promise<void> {
  const data = { as, differences: found.differences };
  await recordEvent(transaction, { type: 'recovery.resumed', key: row, data }, by);
}

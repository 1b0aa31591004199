/** Carries out what was asked of a key beside what is declared. Nothing that is declared depends on it. */
import type { Transaction } from '../../database/client.ts';
import { type ErrandEnd, errandEvent } from '../../domain/errands.ts';
import type { ErrandName } from '../../domain/operations.ts';
import { KmsFailure } from '../../kms/errors.ts';
import type { Services } from '../context.ts';
import { recordEvent } from '../history/log.ts';
import { type KeyErrand, pendingErrands, settleErrand } from '../rows/errands.ts';
import type { KeyRow } from '../rows/key-row.ts';
import { holdWork, statusMoves, writeWork } from '../rows/write.ts';
import type { Sender, Way } from './errand.ts';
import { grantEnding } from './grants.ts';
import { LeaseLost, type Work } from './lease.ts';
import { type Hindrance, mayHeal, pauseBefore } from './retry.ts';
import { rotation } from './rotation.ts';

const ways = {
  RotateKeyOnDemand: rotation,
  RevokeGrant: grantEnding,
  RetireGrant: grantEnding,
} satisfies Record<ErrandName, Way>;

/**
 * Carries out the errands that are asked for, oldest first. One that has to be tried again holds up those of its turn alone.
 * @returns what hinders the first that is to be tried again; null: nothing is left to do.
 * @throws LeaseLost
 */
export async function carryOutErrands(sender: Sender): Promise<Hindrance | null> {
  const { services, work } = sender;
  const { row } = work;
  // While the key is being replaced it can't be told yet which one is meant.
  if (!row.errands_open || row.replacement !== null) return null;
  const hindrances = new Map<string, Hindrance>();
  for (const errand of await pendingErrands(services.database.prisma, row.id)) {
    const turn = ways[errand.operation].turn(errand);
    if (hindrances.has(turn)) continue;
    const hindrance = await carryOut(sender, errand);
    if (hindrance !== null) hindrances.set(turn, hindrance);
  }
  await recordLeft(services, work);
  const [first = null] = [...hindrances.values()].sort((a, b) => a.dueAt.getTime() - b.dueAt.getTime());
  return first;
}

async function carryOut(sender: Sender, errand: KeyErrand): Promise<Hindrance | null> {
  const { services, work } = sender;
  let end: ErrandEnd;
  try {
    end = await ways[errand.operation].carryOut(sender, errand);
  } catch (error) {
    if (!(error instanceof KmsFailure)) throw error;
    if (!isFinal(services, errand, error)) return hindranceOf(services, errand, error);
    const { code, message, operation } = error;
    end = { error: { code, message, operation } };
  }
  await services.database.prisma.$transaction(async (transaction) => {
    if (!(await writeWork(transaction, work.lease.fence, statusMoves))) throw new LeaseLost(work.row.id);
    await settle(transaction, work.row, errand, end);
  });
  await services.failurePoints.pass('errand-recorded');
  return null;
}

/** Whether it was surely not done, and will not be a while later with nothing else changed. */
function isFinal({ now, times }: Services, { created_at }: KeyErrand, failure: KmsFailure): boolean {
  // The key was there a moment ago: that it is not found now is a stale answer, or found out by the next look.
  const isPassing = ['throttled', 'credentials', 'fault', 'not_found'].includes(failure.kind);
  // Rights take minutes to be known everywhere.
  const maySoon = mayHeal(failure) && now() - created_at.getTime() < times.propagation;
  return failure.certainlyNotDone && !isPassing && !maySoon;
}

/** The next try waits for as long as it has been tried in vain, but for no right that has had its time to be known. */
function hindranceOf({ log, now, times }: Services, errand: KeyErrand, failure: KmsFailure): Hindrance {
  const { key_ref, created_at } = errand;
  const seconds = Math.max(1, (now() - created_at.getTime()) / 1000);
  const attempts = Math.ceil(Math.log2(seconds)) + 1;
  const usual = now() + pauseBefore(failure, attempts);
  const end = mayHeal(failure) ? created_at.getTime() + times.propagation : usual;
  const dueAt = new Date(end > now() ? Math.min(usual, end) : usual);
  const { code, message, operation } = failure;
  log.warn({ key: key_ref, operation, code, message }, 'what was asked for will be tried again');
  const error = { code, message, operation, retryable: true, attempts, next_attempt_at: dueAt.toISOString() };
  return { failure, dueAt, error };
}

/** Puts on record whether anything is left to do. */
async function recordLeft({ database, failurePoints }: Services, { row, lease }: Work): Promise<void> {
  await database.prisma.$transaction(async (transaction) => {
    // Locked before they are counted: a request that comes now is either seen, or sets the mark after this.
    await holdWork(transaction, { id: row.id });
    const errands_open = (await pendingErrands(transaction, row.id)).length > 0;
    await writeWork(transaction, lease.fence, { errands_open });
  });
  await failurePoints.pass('errand-recorded');
}

type Key = Pick<KeyRow, 'id' | 'generation'>;

/** Refuses all that is asked of a KMS key that is not the record's any more. */
export async function refuseErrands(
  transaction: Transaction,
  row: Key,
  { code, message }: { code: string; message: string },
): Promise<void> {
  for (const errand of await pendingErrands(transaction, row.id)) {
    await settle(transaction, row, errand, { error: { code, message } });
  }
}

async function settle(transaction: Transaction, key: Key, errand: KeyErrand, end: ErrandEnd): Promise<void> {
  await settleErrand(transaction, errand.id, 'error' in end ? end.error : null);
  const by = { actor: errand.actor, requestId: errand.request_id };
  await recordEvent(transaction, errandEvent(key, errand, end), by);
}

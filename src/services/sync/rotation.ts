/** Carries out on-demand rotations. RotateKeyOnDemand is not idempotent: what became of a call is found out first. */
import type { OnDemandRotation, Transaction } from '../../database/client.ts';
import type { EventData, KeyEvent } from '../../domain/events.ts';
import type { ObservedKey } from '../../domain/types.ts';
import type { Kms } from '../../kms/client.ts';
import { KmsFailure } from '../../kms/errors.ts';
import { countOnDemandRotations } from '../../kms/rotations.ts';
import type { Services } from '../context.ts';
import { recordEvent } from '../history/log.ts';
import type { KeyRow } from '../rows/key-row.ts';
import { statusMoves, writeWork } from '../rows/write.ts';
import { type Apply, carryOutInTurn, mayPass, recordLeft } from './errands.ts';
import { assertFenced } from './journal.ts';
import { LeaseLost, type Work } from './lease.ts';
import type { Hindrance } from './retry.ts';

type RotationRefusal = EventData['rotation.refused']['error'];

/**
 * Carries out the rotations that are asked for.
 * @returns what hinders them; null: nothing is left to do.
 * @throws LeaseLost
 */
export async function rotateOnDemand(
  services: Services,
  kms: Kms,
  work: Work,
  key: ObservedKey,
  apply: Apply,
): Promise<Hindrance | null> {
  const { row } = work;
  // While the key is being replaced it can't be told yet which one is to be rotated.
  if (!row.rotations_open || row.replacement !== null) return null;
  const { onDemandRotation } = services.database.prisma;
  const asked = await onDemandRotation.findMany({
    where: { key_ref: row.id, outcome: 'pending' },
    orderBy: [{ created_at: 'asc' }, { id: 'asc' }],
  });
  const hindered = await carryOutInTurn(services, asked, (rotation) =>
    row.lifecycle === 'managed'
      ? rotate(services, kms, { work, rotation, key }, apply)
      : settle(services, work, rotation, { code: 'NotManaged', message: `The key is ${row.lifecycle} by now.` }),
  );
  await recordLeft(services, work, 'rotations_open', (transaction) =>
    transaction.onDemandRotation.count({ where: { key_ref: row.id, outcome: 'pending' } }),
  );
  await services.failurePoints.pass('rotation-recorded');
  return hindered;
}

/** It must not be sent again. */
const outcomeUnknown = {
  code: 'RotationOutcomeUnknown',
  message: 'RotateKeyOnDemand was sent, its outcome is unknown, and this KMS does not list rotations.',
  operation: 'RotateKeyOnDemand',
};

type Asked = { work: Work; rotation: OnDemandRotation; key: ObservedKey };

async function rotate(services: Services, kms: Kms, { work, rotation, key }: Asked, apply: Apply): Promise<void> {
  const isTaken = await hasTakenEffect(services, kms, key, rotation);
  if (isTaken === null) return settle(services, work, rotation, outcomeUnknown);
  if (isTaken) return settle(services, work, rotation, null);
  try {
    await recordSent(services, work, rotation, await countBefore(services, kms, work, key));
    await apply(key, { operation: 'RotateKeyOnDemand', field: null, parameters: {} });
  } catch (error) {
    if (!(error instanceof KmsFailure) || !error.certainlyNotDone) throw error;
    await recordSent(services, work, rotation, null);
    // The key was there a moment ago: that it is not found now is a stale answer, or found out by the next look.
    if (error.kind === 'not_found' || mayPass(services, rotation, error)) throw error;
    const { code, message, operation } = error;
    return settle(services, work, rotation, { code, message, operation });
  }
  await settle(services, work, rotation, null);
}

/**
 * Puts on record that the call is about to be sent, with the deadline by PostgreSQL's clock; or that it surely had no effect.
 * @param countBefore the key's on-demand rotations; null: it had none.
 * @throws LeaseLost
 */
async function recordSent(
  services: Services,
  { lease }: Work,
  rotation: OnDemandRotation,
  countBefore: number | null,
): Promise<void> {
  const { landsWithin } = services.times.write;
  await services.database.prisma.$transaction(async (transaction) => {
    await assertFenced(transaction, lease);
    await transaction.$executeRaw`
      UPDATE on_demand_rotations SET count_before = ${countBefore}, lands_until = CASE WHEN ${countBefore}::int IS NOT NULL
        THEN clock_timestamp() + ${landsWithin + services.times.settle} * interval '1 millisecond' END
      WHERE id = ${rotation.id}::uuid`;
  });
  await services.failurePoints.pass('rotation-recorded');
}

/**
 * Whether a call that was sent before has rotated the key; null: KMS lists no rotations (any more), so that nobody can tell.
 * @throws KmsFailure while that can't be told: the call may still land, or its effect not be seen yet.
 */
async function hasTakenEffect(
  services: Services,
  kms: Kms,
  key: ObservedKey,
  rotation: OnDemandRotation,
): Promise<boolean | null> {
  if (rotation.count_before === null) return false;
  // Asked before the count: what is over then shows in it.
  const isOver = await canLandNoMore(services, rotation);
  const count = await countOnDemandRotations(kms, key.key_id).catch((error: KmsFailure) => {
    if (error.kind === 'unsupported' && isOver) return null;
    // That KMS won't tell is no word on the rotation, nor on a change that came along with it.
    throw new KmsFailure('fault', error.code, error.message, error.operation, true);
  });
  if (count === null) return null;
  if (count > rotation.count_before) return true;
  if (isOver) return false;
  const message = 'RotateKeyOnDemand was sent and its outcome is unknown; Keyward waits for it before it sends another';
  throw new KmsFailure('fault', 'RotationOutcomeUnknown', message, 'RotateKeyOnDemand', false);
}

/** Whether the call that was sent has had its time, and that to become visible. */
async function canLandNoMore(services: Services, { id }: OnDemandRotation): Promise<boolean> {
  // The journal may have given the call more time than was thought when it was about to be sent.
  const [told] = await services.database.prisma.$queryRaw<{ over: boolean }[]>`
    SELECT greatest(r.lands_until, max(w.lands_until) + ${services.times.settle} * interval '1 millisecond')
      < clock_timestamp() AS over
    FROM on_demand_rotations r
    LEFT JOIN kms_writes w ON w.key_ref = r.key_ref AND w.operation = 'RotateKeyOnDemand' AND w.outcome = 'unknown'
    WHERE r.id = ${id}::uuid GROUP BY r.id, r.lands_until`;
  return told?.over ?? false;
}

/**
 * How often the key was rotated on demand before a call that is about to be sent: as KMS tells, but no less than after the last
 * rotation that is on record, which reads may not show yet. A key that can't be rotated has no rotations to count; KMS says
 * so again when it is asked to rotate it.
 */
async function countBefore(services: Services, kms: Kms, { row }: Work, key: ObservedKey): Promise<number> {
  const { formerKey, onDemandRotation } = services.database.prisma;
  const replaced = await formerKey.findFirst({ where: { key_ref: row.id }, orderBy: { created_at: 'desc' } });
  const since = replaced === null ? {} : { settled_at: { gt: replaced.created_at } };
  const last = await onDemandRotation.findFirst({
    where: { key_ref: row.id, outcome: 'done', ...since },
    orderBy: { settled_at: 'desc' },
  });
  const known = last?.count_before == null ? 0 : last.count_before + 1;
  try {
    return Math.max(known, await countOnDemandRotations(kms, key.key_id));
  } catch (error) {
    if (error instanceof KmsFailure && error.code === 'UnsupportedOperationException') return known;
    throw error;
  }
}

/** Refuses all rotations of a record that are asked for. */
export async function refuseRotations(
  transaction: Transaction,
  row: Pick<KeyRow, 'id' | 'generation'>,
  { code, message }: { code: string; message: string },
): Promise<void> {
  const asked = await transaction.onDemandRotation.findMany({ where: { key_ref: row.id, outcome: 'pending' } });
  for (const rotation of asked) await recordSettled(transaction, row, rotation, { code, message });
}

/** @param error null: the key was rotated. */
async function settle(
  services: Services,
  { row, lease }: Work,
  rotation: OnDemandRotation,
  error: RotationRefusal | null,
): Promise<void> {
  await services.database.prisma.$transaction(async (transaction) => {
    if (!(await writeWork(transaction, lease.fence, statusMoves))) throw new LeaseLost(row.id);
    await recordSettled(transaction, row, rotation, error);
  });
  await services.failurePoints.pass('rotation-recorded');
}

async function recordSettled(
  transaction: Transaction,
  row: Pick<KeyRow, 'id' | 'generation'>,
  { id, actor, request_id }: OnDemandRotation,
  error: RotationRefusal | null,
): Promise<void> {
  const told = error === null ? {} : { error };
  const outcome = error === null ? 'done' : 'refused';
  await transaction.onDemandRotation.update({ where: { id }, data: { outcome, settled_at: new Date(), ...told } });
  const data = { origin: 'rotate', rotation_id: id } as const;
  const event: KeyEvent =
    error === null
      ? { type: 'rotation.done', key: row, data }
      : { type: 'rotation.refused', key: row, data: { ...data, error } };
  await recordEvent(transaction, event, { actor, requestId: request_id });
}

/** Carries out on-demand rotations. RotateKeyOnDemand is not idempotent: what became of a call is found out first. */
import type { KeyRow, OnDemandRotation, Prisma, Transaction } from '../../database/client.ts';
import type { ObservedKey, Step } from '../../domain/types.ts';
import type { Kms } from '../../kms/client.ts';
import { KmsFailure } from '../../kms/errors.ts';
import { countOnDemandRotations } from '../../kms/rotations.ts';
import type { Services } from '../context.ts';
import { LeaseLost } from './lease.ts';
import type { Work } from './record.ts';

/** Carries out one step through the journal. */
export type Apply = (key: ObservedKey, step: Step) => Promise<ObservedKey>;

/**
 * Carries out the rotations that are asked for, oldest first.
 * @throws KmsFailure when one has to be tried again, LeaseLost.
 */
export async function rotateOnDemand(
  services: Services,
  kms: Kms,
  work: Work,
  key: ObservedKey,
  apply: Apply,
): Promise<void> {
  const { row } = work;
  if (!row.rotations_open) return;
  const { onDemandRotation } = services.database.prisma;
  const asked = await onDemandRotation.findMany({
    where: { key_ref: row.id, outcome: 'pending' },
    orderBy: [{ created_at: 'asc' }, { id: 'asc' }],
  });
  for (const rotation of asked) {
    if (row.lifecycle === 'managed') await rotate(services, kms, { work, rotation, key }, apply);
    else await settle(services, work, rotation, { code: 'NotManaged', message: `The key is ${row.lifecycle} by now.` });
  }
  await services.database.prisma.$transaction(async (transaction) => {
    // Locked before it is counted: a request that comes now is either seen, or sets the mark after this.
    await transaction.$executeRaw`SELECT 1 FROM keys WHERE id = ${row.id}::uuid FOR UPDATE`;
    const open = await transaction.onDemandRotation.count({ where: { key_ref: row.id, outcome: 'pending' } });
    await transaction.key.updateMany({ where: work.lease.fence, data: { rotations_open: open > 0 } });
  });
}

type Asked = { work: Work; rotation: OnDemandRotation; key: ObservedKey };

async function rotate(services: Services, kms: Kms, { work, rotation, key }: Asked, apply: Apply): Promise<void> {
  if (await hasTakenEffect(kms, key, rotation)) return settle(services, work, rotation, null);
  const { onDemandRotation } = services.database.prisma;
  const where = { id: rotation.id };
  const sent = {
    count_before: await countOrNone(kms, key),
    lands_until: new Date(Date.now() + services.times.write.landsWithin + services.times.settle),
  };
  await onDemandRotation.update({ where, data: sent });
  try {
    await apply(key, { operation: 'RotateKeyOnDemand', field: null, parameters: {} });
  } catch (error) {
    if (!(error instanceof KmsFailure) || !error.certainlyNotDone) throw error;
    await onDemandRotation.update({ where, data: { count_before: null, lands_until: null } });
    if (error.kind === 'throttled' || error.kind === 'credentials' || error.kind === 'fault') throw error;
    const { code, message, operation } = error;
    return settle(services, work, rotation, { code, message, operation });
  }
  await settle(services, work, rotation, null);
}

/**
 * Whether a call that was sent before has rotated the key.
 * @throws KmsFailure while that can't be told: the call may still land, or its effect not be seen yet.
 */
async function hasTakenEffect(kms: Kms, key: ObservedKey, rotation: OnDemandRotation): Promise<boolean> {
  const { count_before: before, lands_until: landsUntil } = rotation;
  if (before === null || landsUntil === null) return false;
  if ((await countOnDemandRotations(kms, key.key_id)) > before) return true;
  if (landsUntil.getTime() < Date.now()) return false;
  const message = 'RotateKeyOnDemand was sent and its outcome is unknown; Keyward waits for it before it sends another';
  throw new KmsFailure('fault', 'RotationOutcomeUnknown', message, 'RotateKeyOnDemand', false);
}

/** A key that can't be rotated has no rotations to count; KMS says so again when it is asked to rotate it. */
async function countOrNone(kms: Kms, key: ObservedKey): Promise<number> {
  try {
    return await countOnDemandRotations(kms, key.key_id);
  } catch (error) {
    if (error instanceof KmsFailure && error.code === 'UnsupportedOperationException') return 0;
    throw error;
  }
}

/** Puts on record that none of the rotations that are asked for can be had: KMS has lost the key. */
export async function refuseRotations(transaction: Transaction, row: KeyRow, failure: KmsFailure): Promise<void> {
  const { code, message, operation } = failure;
  const pending = { key_ref: row.id, outcome: 'pending' };
  for (const rotation of await transaction.onDemandRotation.findMany({ where: pending })) {
    await recordSettled(transaction, row, rotation, { code, message, operation });
  }
}

/** @param error null: the key was rotated. */
async function settle(
  services: Services,
  { row, lease }: Work,
  rotation: OnDemandRotation,
  error: Prisma.InputJsonObject | null,
): Promise<void> {
  await services.database.prisma.$transaction(async (transaction) => {
    const held = await transaction.key.updateMany({ where: lease.fence, data: { status_version: { increment: 1 } } });
    if (held.count === 0) throw new LeaseLost(row.id);
    await recordSettled(transaction, row, rotation, error);
  });
}

async function recordSettled(
  transaction: Transaction,
  row: KeyRow,
  rotation: OnDemandRotation,
  error: Prisma.InputJsonObject | null,
): Promise<void> {
  const outcome = error === null ? 'done' : 'refused';
  const settled = { outcome, settled_at: new Date(), ...(error === null ? {} : { error }) };
  await transaction.onDemandRotation.update({ where: { id: rotation.id }, data: settled });
  await transaction.event.create({
    data: {
      key_ref: row.id,
      type: error === null ? 'rotation.done' : 'rotation.refused',
      generation: row.generation,
      actor: rotation.actor,
      request_id: rotation.request_id,
      data: { origin: 'rotate', rotation_id: rotation.id, ...(error === null ? {} : { error }) },
    },
  });
}

/** Carries out on-demand rotations. RotateKeyOnDemand is not idempotent: what became of a call is found out first. */
import { type ErrandEnd, stepOf } from '../../domain/errands.ts';
import { KmsFailure } from '../../kms/errors.ts';
import { countOnDemandRotations } from '../../kms/rotations.ts';
import { isRotationOver, type KeyErrand, lastRotation, noteRotationSent } from '../rows/errands.ts';
import type { Sender, Way } from './errand.ts';
import { assertFenced } from './journal.ts';

export const rotation: Way = {
  turn: () => 'rotations',
  carryOut: async (sender, errand) => {
    const { lifecycle } = sender.work.row;
    if (lifecycle !== 'managed') return { error: { code: 'NotManaged', message: `The key is ${lifecycle} by now.` } };
    const isTaken = await hasTakenEffect(sender, errand);
    if (isTaken !== false) return isTaken ? {} : outcomeUnknown;
    try {
      await recordSent(sender, errand, await countBefore(sender));
      await sender.apply(sender.key, stepOf(errand));
      return {};
    } catch (error) {
      if (error instanceof KmsFailure && error.certainlyNotDone) await recordSent(sender, errand, null);
      throw error;
    }
  },
};

/** It must not be sent again. */
const outcomeUnknown: ErrandEnd = {
  error: {
    code: 'RotationOutcomeUnknown',
    message: 'RotateKeyOnDemand was sent, its outcome is unknown, and this KMS does not list rotations.',
    operation: 'RotateKeyOnDemand',
  },
};

/**
 * Puts on record that the call is about to be sent, or that it surely had no effect.
 * @param count the key's on-demand rotations before it; null: it had no effect.
 * @throws LeaseLost
 */
async function recordSent({ services, work }: Sender, { id }: KeyErrand, count: number | null): Promise<void> {
  const { write, settle } = services.times;
  await services.database.prisma.$transaction(async (transaction) => {
    await assertFenced(transaction, work.lease);
    await noteRotationSent(transaction, id, count, write.landsWithin + settle);
  });
  await services.failurePoints.pass('errand-recorded');
}

/**
 * Whether a call that was sent before has rotated the key; null: KMS lists no rotations (any more), so that nobody can tell.
 * @throws KmsFailure while that can't be told: the call may still land, or its effect not be seen yet.
 */
async function hasTakenEffect({ services, kms, key }: Sender, errand: KeyErrand): Promise<boolean | null> {
  if (errand.count_before === null) return false;
  // Asked before the count: what is over then shows in it.
  const isOver = await isRotationOver(services.database.prisma, errand.id, services.times.settle);
  const count = await countOnDemandRotations(kms, key.key_id).catch((error: KmsFailure) => {
    if (error.kind === 'unsupported' && isOver) return null;
    // That KMS won't tell is no word on the rotation, nor on a change that came along with it.
    throw new KmsFailure('fault', error.code, error.message, error.operation, true);
  });
  if (count === null) return null;
  if (count > errand.count_before) return true;
  if (isOver) return false;
  const message = 'RotateKeyOnDemand was sent and its outcome is unknown; Keyward waits for it before it sends another';
  throw new KmsFailure('fault', 'RotationOutcomeUnknown', message, 'RotateKeyOnDemand', false);
}

/**
 * How often the key was rotated on demand before a call that is about to be sent: as KMS tells, but no less than after the last
 * rotation that is on record, which reads may not show yet. A key that can't be rotated has no rotations to count; KMS says
 * so again when it is asked to rotate it.
 */
async function countBefore({ services, kms, work: { row }, key }: Sender): Promise<number> {
  const { prisma } = services.database;
  const replaced = await prisma.formerKey.findFirst({ where: { key_ref: row.id }, orderBy: { created_at: 'desc' } });
  const last = await lastRotation(prisma, row.id, replaced?.created_at ?? null);
  const known = last?.count_before == null ? 0 : last.count_before + 1;
  try {
    return Math.max(known, await countOnDemandRotations(kms, key.key_id));
  } catch (error) {
    if (error instanceof KmsFailure && error.code === 'UnsupportedOperationException') return known;
    throw error;
  }
}

/** Asks for an on-demand rotation. The sync of the key carries it out. */
import { v7 as uuidv7 } from 'uuid';
import type { OnDemandRotation, Transaction } from '../../database/client.ts';
import type { Services } from '../context.ts';
import { recordEvent } from '../history/log.ts';
import { findKey } from '../keys/find.ts';
import {
  assertManaged,
  assertMatches,
  assertNotLost,
  assertNotReplica,
  assertSettledInKms,
} from '../keys/preconditions.ts';
import { invalidInput, type KmsError, keyNotFound, refusedByKms } from '../problems.ts';
import { ask } from '../rows/ask.ts';
import type { KeyRow } from '../rows/key-row.ts';
import type { Accepted, Command } from './declare.ts';

/**
 * Rotates a key's material now.
 * @throws ProblemError not-found, stale-generation, conflict; invalid-input for a key that can't be rotated;
 * refused-by-kms with KMS's words.
 */
export async function rotateKey(services: Services, id: string, command: Command): Promise<Accepted> {
  const row = await findKey(services, id);
  const rotationId = command.commandId ?? uuidv7();
  if (!(await isRecorded(services.database.prisma, rotationId))) {
    assertMatches(row, command.ifMatch);
    assertManaged(row);
    assertNotReplica(row, 'rotated');
    assertRotatable(row);
    assertSettledInKms(row);
    assertNotLost(row);
    await record(services, row, rotationId, command);
  }
  const settled = await services.changes.waitFor(id, command.wait, async () => {
    const rotation = await services.database.prisma.onDemandRotation.findUnique({ where: { id: rotationId } });
    return rotation !== null && rotation.outcome !== 'pending' ? rotation : undefined;
  });
  if (settled?.outcome === 'refused') throw refusal(settled);
  return { row: await findKey(services, id), pending: settled === undefined };
}

/** Whether an earlier run of the same request had recorded it, and was cut off before it answered. */
async function isRecorded({ onDemandRotation }: Pick<Transaction, 'onDemandRotation'>, id: string): Promise<boolean> {
  return (await onDemandRotation.findUnique({ where: { id } })) !== null;
}

/** Rotation is for symmetric encryption keys whose material KMS makes. */
function assertRotatable(row: KeyRow): void {
  if (row.customer_master_key_spec === 'SYMMETRIC_DEFAULT' && row.custom_key_store_id === null) return;
  const kind = row.custom_key_store_id === null ? row.customer_master_key_spec : 'a key in a custom key store';
  const detail = `KMS rotates only symmetric encryption keys (SYMMETRIC_DEFAULT) with key material of its own; this is ${kind}.`;
  throw invalidInput([{ pointer: '', code: 'incompatible', detail }]);
}

/** An observation is asked for along with it: a sync that is under way then comes back to the key. */
async function record(services: Services, row: KeyRow, rotationId: string, by: Command): Promise<void> {
  await services.database.prisma.$transaction(async (transaction) => {
    // Another run of the same request may have been faster.
    if (await isRecorded(transaction, rotationId)) return;
    if ((await ask(transaction, row.id, 'rotate')) === null) throw keyNotFound(row.id);
    const asked = { key_ref: row.id, actor: by.actor, request_id: by.requestId };
    await transaction.onDemandRotation.create({ data: { id: rotationId, ...asked } });
    const data = { origin: 'rotate', rotation_id: rotationId } as const;
    await recordEvent(transaction, { type: 'rotation.requested', key: row, data }, by);
    await services.notifications.wake(transaction, row);
  });
  await services.failurePoints.pass('intent-recorded');
}

function refusal(rotation: OnDemandRotation) {
  // A rotation that never got as far as a call has no operation on record.
  const error: KmsError = { operation: null, ...(rotation.error as Omit<KmsError, 'operation'>) };
  const aftermath =
    error.code === 'LimitExceededException'
      ? 'KMS allows no more on-demand rotations of this key. Automatic rotation (enable_key_rotation) has no such limit; POST …/replace makes a new KMS key.'
      : 'The key was not rotated.';
  return refusedByKms(error, rotation.key_ref, aftermath);
}

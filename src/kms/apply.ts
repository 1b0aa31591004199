/** Carries out one step of a plan: one KMS call. */
import type { CreateKeyResponse, ReplicateKeyResponse, ScheduleKeyDeletionResponse } from '@aws-sdk/client-kms';
import type { Answered, MakingStep, Step } from '../domain/operations.ts';
import type { Kms } from './client.ts';
import { call, KmsFailure, unusableAnswer, unusablePart } from './errors.ts';
import { type DescribedKey, targetOf, toDescribedKey } from './observe.ts';
import { answersWithKey, sendCreation, sendUpdate } from './operations.ts';
import { type Permit, withPermit } from './permit.ts';

/** A step for a key that exists. */
export type UpdateStep = Exclude<Step, MakingStep>;

/** A key that KMS has made. `described` is null where the answer lacks something that it says of every key. */
export type MadeKey = { arn: string; key_id: string; key_state: string | null; described: DescribedKey | null };

/**
 * Sends CreateKey, or ReplicateKey, once. There is no way to make it idempotent: after a failure that is not
 * `certainlyNotDone`, the caller must look for the ownership tag before it calls again.
 * @throws KmsFailure
 */
export async function createKey(kms: Kms, step: MakingStep, permit: Permit): Promise<MadeKey> {
  const { operation, parameters } = step;
  const answer: CreateKeyResponse & ReplicateKeyResponse = await call(operation, () =>
    withPermit(permit, () => sendCreation(kms.writes, step)),
  );
  const metadata = answer.KeyMetadata ?? answer.ReplicaKeyMetadata;
  const { Arn, KeyId, KeyState, KeyUsage, KeySpec, CustomerMasterKeySpec, Origin, MultiRegion } = metadata ?? {};
  if (Arn === undefined || KeyId === undefined) throw unusableAnswer(operation, "the key's Arn and KeyId");
  const description = metadata?.Description ?? parameters.Description;
  if (description !== parameters.Description) {
    throw unusablePart(operation, `a key that was asked for otherwise, ${Arn}`, description);
  }
  const told = [KeyState, KeyUsage, KeySpec ?? CustomerMasterKeySpec, Origin, MultiRegion];
  const described = told.includes(undefined) ? null : toDescribedKey(operation, metadata);
  return { arn: Arn, key_id: KeyId, key_state: KeyState ?? null, described };
}

/**
 * @returns what ScheduleKeyDeletion answers; nothing for every other step.
 * @throws KmsFailure
 */
export async function applyStep(kms: Kms, keyId: string, step: UpdateStep, permit: Permit): Promise<Answered> {
  if (step.operation === 'DeleteAlias') await assertStillOf(kms, keyId, step.parameters.AliasName);
  const answer = await call(step.operation, () => withPermit(permit, () => sendUpdate(kms.writes, keyId, step)));
  if (answersWithKey(step.operation) && !('KeyId' in answer)) throw unusableAnswer(step.operation, 'KeyId');
  const { DeletionDate: date, KeyState: state } = answer as ScheduleKeyDeletionResponse;
  return { deletion_date: date?.toISOString() ?? null, key_state: state ?? null };
}

/** DeleteAlias takes no key: KMS would delete a name that somebody has moved meanwhile just as well. @throws KmsFailure */
async function assertStillOf(kms: Kms, keyId: string, name: string): Promise<void> {
  const target = await targetOf(kms, name);
  if (target === null || target === keyId) return;
  throw new KmsFailure(
    'conflict',
    'AliasMoved',
    `${name} points at another key by now: ${target}`,
    'DeleteAlias',
    true,
  );
}

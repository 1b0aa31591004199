/** What a key looks like once a step has been carried out, so that KMS need not be asked again, or too soon. */
import { type DescribedFields, newlyMade, type ObservedKey } from './arguments.ts';
import { type Answered, type MakingStep, operationOf } from './operations.ts';
import type { PolicyDocument, Rotation } from './values.ts';

const nothing: Answered = { deletion_date: null, key_state: null };

/** A step, or what the journal tells of one. */
type Written = { operation: string; parameters: unknown };

/**
 * The key after one step, in the state that KMS documents for it.
 * @param answered by ScheduleKeyDeletion: what its answer says counts.
 */
export function afterStep(key: ObservedKey, { operation, parameters }: Written, answered = nothing): ObservedKey {
  return operationOf(operation)?.after(key, parameters, answered) ?? key;
}

/** The key that CreateKey or ReplicateKey has just made: what it answered, and what was asked for with the call. */
export function afterCreate(
  described: DescribedFields,
  { operation, parameters }: MakingStep,
  policy: PolicyDocument | null,
): ObservedKey {
  return {
    ...newlyMade,
    ...described,
    description: described.description ?? parameters.Description,
    policy,
    tags: { ...parameters.Tags },
    rotation: !mayRotate(described) ? null : operation === 'ReplicateKey' ? rotationUntold : newlyMade.rotation,
  };
}

/** Of a replica: it rotates with its primary key, and what is declared is that one's. */
export const rotationUntold: Rotation = { enabled: null, period_in_days: null };

/** Automatic rotation is for symmetric encryption keys with key material from KMS itself: as far as KMS tells, it may be one. */
export function mayRotate({
  customer_master_key_spec: spec,
  origin,
}: Pick<ObservedKey, 'customer_master_key_spec' | 'origin'>): boolean {
  return (spec === null || spec === 'SYMMETRIC_DEFAULT') && (origin === null || origin === 'AWS_KMS');
}

/** Whether a key is a replica, which rotates with its primary key: no rotation of its own is read of it, or written to it. */
export function isReplica({ arn, primary_arn }: Pick<ObservedKey, 'arn' | 'primary_arn'>): boolean {
  return primary_arn !== null && primary_arn !== arn;
}

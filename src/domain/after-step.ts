/** What a key looks like once a step has been carried out, so that KMS need not be asked again, or too soon. */
import { enabledIn, isPendingDeletion } from './key-state.ts';
import type { CreateKeyParameters, KeyState, ObservedKey, PolicyDocument, Step } from './types.ts';

type UpdateStep = Exclude<Step, { operation: 'CreateKey' }>;

/** What KMS answers to a step. null: it does not say. @param deletion_date RFC 3339 */
export type Answered = { deletion_date: string | null; key_state: string | null };

const nothing: Answered = { deletion_date: null, key_state: null };

/**
 * The key after one update step, in the state that KMS documents for it.
 * @param answered by ScheduleKeyDeletion: what its answer says counts.
 */
export function afterStep(key: ObservedKey, step: UpdateStep, answered: Answered = nothing): ObservedKey {
  switch (step.operation) {
    case 'CancelKeyDeletion':
      return { ...key, key_state: 'Disabled', enabled: false, deletion_date: null };
    case 'EnableKey':
      return switched(key, true);
    case 'DisableKey':
      return switched(key, false);
    case 'EnableKeyRotation': {
      const { RotationPeriodInDays: days = key.rotation?.period_in_days ?? null } = step.parameters;
      return { ...key, rotation: { enabled: true, period_in_days: days } };
    }
    case 'RotateKeyOnDemand':
      return key;
    case 'DisableKeyRotation':
      return { ...key, rotation: { enabled: false, period_in_days: null } };
    case 'UpdateKeyDescription':
      return { ...key, description: step.parameters.Description };
    case 'PutKeyPolicy':
      return { ...key, policy: step.parameters.Policy };
    case 'UntagResource': {
      const gone = new Set(step.parameters.TagKeys);
      return { ...key, tags: Object.fromEntries(Object.entries(key.tags).filter(([name]) => !gone.has(name))) };
    }
    case 'TagResource':
      return { ...key, tags: { ...key.tags, ...step.parameters.Tags } };
    case 'ScheduleKeyDeletion': {
      const { deletion_date, key_state } = answered;
      const usual = deletion_date === null ? 'PendingReplicaDeletion' : 'PendingDeletion';
      return { ...key, key_state: (key_state as KeyState | null) ?? usual, enabled: null, deletion_date };
    }
  }
}

/** A key in a state that does not tell stays in it: what was switched shows when it is over. */
function switched(key: ObservedKey, enabled: boolean): ObservedKey {
  if (isPendingDeletion(key)) return key;
  if (enabledIn(key.key_state) === null) return { ...key, enabled };
  return { ...key, key_state: enabled ? 'Enabled' : 'Disabled', enabled };
}

/** The key that CreateKey has just made: what it answered, and what was asked for with the call. */
export function afterCreate(
  described: Omit<ObservedKey, 'policy' | 'tags' | 'rotation'>,
  parameters: CreateKeyParameters,
  policy: PolicyDocument | null,
): ObservedKey {
  return {
    ...described,
    description: described.description ?? parameters.Description,
    policy,
    tags: { ...parameters.Tags },
    rotation: mayRotate(described) ? { enabled: false, period_in_days: null } : null,
  };
}

/** Automatic rotation is for symmetric encryption keys with key material from KMS itself: as far as KMS tells, it may be one. */
export function mayRotate({
  customer_master_key_spec: spec,
  origin,
}: Pick<ObservedKey, 'customer_master_key_spec' | 'origin'>): boolean {
  return (spec === null || spec === 'SYMMETRIC_DEFAULT') && (origin === null || origin === 'AWS_KMS');
}

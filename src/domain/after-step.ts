/** What a key looks like once a step has been carried out, so that KMS need not be asked again, or too soon. */
import type { CreateKeyParameters, ObservedKey, PolicyDocument, Step } from './types.ts';

type UpdateStep = Exclude<Step, { operation: 'CreateKey' }>;

/**
 * The key after one update step.
 * @param deletionDate RFC 3339, as ScheduleKeyDeletion answered it.
 */
export function afterStep(key: ObservedKey, step: UpdateStep, deletionDate: string | null = null): ObservedKey {
  switch (step.operation) {
    case 'CancelKeyDeletion':
      return { ...key, key_state: 'Disabled', deletion_date: null };
    case 'EnableKey':
      return { ...key, key_state: 'Enabled' };
    case 'DisableKey':
      return { ...key, key_state: 'Disabled' };
    case 'EnableKeyRotation':
      return { ...key, rotation: { enabled: true, period_in_days: step.parameters.RotationPeriodInDays } };
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
      const state = deletionDate === null ? 'PendingReplicaDeletion' : 'PendingDeletion';
      return { ...key, key_state: state, deletion_date: deletionDate };
    }
  }
}

/** The key that CreateKey has just made: what it answered, and what was asked for with the call. */
export function afterCreate(
  described: Omit<ObservedKey, 'policy' | 'tags' | 'rotation'>,
  parameters: CreateKeyParameters,
  policy: PolicyDocument,
): ObservedKey {
  const rotates = described.customer_master_key_spec === 'SYMMETRIC_DEFAULT' && described.origin === 'AWS_KMS';
  return {
    ...described,
    policy,
    tags: { ...parameters.Tags },
    rotation: rotates ? { enabled: false, period_in_days: null } : null,
  };
}

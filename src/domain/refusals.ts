/**
 * What KMS would refuse of a plan, as far as that can be known beforehand. Source: AWS KMS developer guide, "Key states of
 * AWS KMS keys", "Rotate AWS KMS keys"; kms-facts for the limits.
 */
import { afterStep, mayRotate } from './after-step.ts';
import type { DesiredKey, ObservedKey } from './arguments.ts';
import { enabledIn, isPendingDeletion } from './key-state.ts';
import type { MakingStep, Step } from './operations.ts';
import { isReservedByAws, mostTags } from './tags.ts';

export type Refusal = { operation: string; field: string | null; code: string; detail: string };

type UpdateStep = Exclude<Step, MakingStep>;

/**
 * The refusals that carrying out the steps would meet, and what is asked for that no step can reach.
 * @param observed the key before the first step; null: it is to be made.
 */
export function refusalsOf(desired: DesiredKey, observed: ObservedKey | null, steps: Step[]): Refusal[] {
  if (observed === null) return [];
  const found = unattainable(desired, observed);
  let reached = observed;
  for (const step of steps) {
    if (step.operation === 'CreateKey' || step.operation === 'ReplicateKey') continue;
    const refused = refusalBy(reached, step);
    if (refused !== null) found.push({ operation: step.operation, field: step.field, ...refused });
    reached = afterStep(reached, step);
  }
  return found;
}

/** What is declared and no call can make of this key, whatever its state. The sync sends none for it. */
export function unattainable(
  desired: Pick<DesiredKey, 'lifecycle' | 'enable_key_rotation'>,
  observed: ObservedKey,
): Refusal[] {
  if (desired.lifecycle !== 'managed' || !desired.enable_key_rotation || observed.rotation !== null) return [];
  const { origin, customer_master_key_spec: spec } = observed;
  const reason = mayRotate(observed)
    ? 'it is a multi-Region replica, which rotates with its primary key'
    : `its origin is ${origin}, its spec ${spec}`;
  const detail = `Rotation can't be turned on for this key: ${reason}.`;
  const step = { operation: 'EnableKeyRotation', field: 'enable_key_rotation' };
  return [{ ...step, code: 'UnsupportedOperationException', detail }];
}

function refusalBy(key: ObservedKey, step: UpdateStep): { code: string; detail: string } | null {
  const { operation } = step;
  if (key.key_state === 'Creating' || key.key_state === 'Updating') {
    return invalidState(`The key is ${key.key_state}: KMS takes no change until it is done.`);
  }
  if (isPendingDeletion(key)) {
    return operation === 'CancelKeyDeletion' ? null : invalidState('The key is pending deletion.');
  }
  if (key.key_state === 'PendingImport' && (operation === 'EnableKey' || operation === 'DisableKey')) {
    return invalidState('The key waits for the import of its key material.');
  }
  if (operation === 'EnableKeyRotation' || operation === 'DisableKeyRotation') return rotationRefusal(key);
  if (operation === 'TagResource') {
    const names = Object.keys({ ...key.tags, ...step.parameters.Tags }).filter((name) => !isReservedByAws(name));
    if (names.length > mostTags) {
      const detail = `The key would have ${names.length} tags; KMS allows ${mostTags}, AWS's own not counted.`;
      return { code: 'TagException', detail };
    }
  }
  return null;
}

function rotationRefusal(key: ObservedKey): { code: string; detail: string } | null {
  if (key.key_state === 'Enabled') return null;
  if (enabledIn(key.key_state) === null) {
    return invalidState(`The key is ${key.key_state}: its rotation can't be changed until that is over.`);
  }
  return { code: 'DisabledException', detail: `The key is ${key.key_state}: its rotation can't be changed.` };
}

function invalidState(detail: string) {
  return { code: 'KMSInvalidStateException', detail };
}

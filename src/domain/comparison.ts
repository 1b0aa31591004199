/** How a key in KMS compares with what was declared. The planner and the drift report both read it. */
import { immutableArguments } from './key-rules.ts';
import { policiesEqual } from './policy-equivalence.ts';
import { partitionIn } from './regions.ts';
import { isIgnored, isReservedByAws } from './tags.ts';
import type { DesiredKey, ImmutableArguments, ObservedKey, Tags } from './types.ts';

export type Comparison = {
  /** Arguments that KMS fixed when the key was made. */
  immutable: (keyof ImmutableArguments)[];
  description: boolean;
  policy: boolean;
  isEnabled: boolean;
  /** Which argument asks for a change of rotation; null: none does. Where rotation does not apply, no call makes that. */
  rotation: 'enable_key_rotation' | 'rotation_period_in_days' | null;
  /** With the ownership tag. */
  tagsToSet: Tags;
  /** Names. AWS's own tags, and those left to other systems, are never among them. */
  tagsToRemove: string[];
};

/** Compares field by field; true: they differ. What KMS does not tell differs from nothing. */
export function compareKey(desired: DesiredKey, observed: ObservedKey): Comparison {
  const { name, value } = desired.ownership_tag;
  const wanted: Tags = { ...desired.tags_all, [name]: value };
  return {
    immutable: immutableDifferences(desired, observed),
    description: observed.description !== null && desired.description !== observed.description,
    policy: policyDiffers(desired, observed),
    isEnabled: observed.enabled !== null && desired.is_enabled !== observed.enabled,
    rotation: compareRotation(desired, observed),
    tagsToSet: Object.fromEntries(
      Object.entries(wanted).filter(([tag, text]) => !Object.hasOwn(observed.tags, tag) || observed.tags[tag] !== text),
    ),
    tagsToRemove: Object.keys(observed.tags).filter(
      (tag) => !Object.hasOwn(wanted, tag) && !isReservedByAws(tag) && !isIgnored(tag, desired.ignore_tags),
    ),
  };
}

function policyDiffers({ policy, policy_form: form }: DesiredKey, observed: ObservedKey): boolean {
  if (policy === null || observed.policy === null) return false;
  const partition = partitionIn(observed.arn);
  if (policiesEqual(policy, observed.policy, partition)) return false;
  return form === undefined || !policiesEqual(form, observed.policy, partition);
}

function compareRotation(desired: DesiredKey, { rotation }: ObservedKey): Comparison['rotation'] {
  if (rotation === null) return desired.enable_key_rotation ? 'enable_key_rotation' : null;
  if (rotation.enabled === null) return null;
  if (desired.enable_key_rotation !== rotation.enabled) return 'enable_key_rotation';
  const [wanted, seen] = [desired.rotation_period_in_days, rotation.period_in_days];
  if (!desired.enable_key_rotation || wanted === null || seen === null) return null;
  return wanted === seen ? null : 'rotation_period_in_days';
}

/** The arguments that no call changes, in which the key is not as declared. */
export function immutableDifferences(
  desired: ImmutableArguments,
  observed: ImmutableFacts,
): (keyof ImmutableArguments)[] {
  return immutableArguments.filter((name) => {
    if (observed[name] === null && isUntold(name, observed)) return false;
    return desired[name] !== observed[name];
  });
}

type ImmutableFacts = Pick<ObservedKey, keyof ImmutableArguments | 'origin'>;

/** A key in no store has no store id, and one with key material of KMS's own no external key. */
function isUntold(name: keyof ImmutableArguments, { origin }: ImmutableFacts): boolean {
  if (name === 'xks_key_id') return origin === 'EXTERNAL_KEY_STORE';
  return name !== 'custom_key_store_id' || origin === 'EXTERNAL_KEY_STORE' || origin === 'AWS_CLOUDHSM';
}

/** How a key in KMS compares with what was declared. The planner and the drift report both read it. */
import { policiesEqual } from './policy-equivalence.ts';
import { isIgnored, isReservedByAws } from './tags.ts';
import type { DesiredKey, ObservedKey, Tags } from './types.ts';

export type Comparison = {
  description: boolean;
  policy: boolean;
  /** Which argument asks for a change of rotation; null: none does. */
  rotation: 'enable_key_rotation' | 'rotation_period_in_days' | null;
  /** With the ownership tag. */
  tagsToSet: Tags;
  /** Names. AWS's own tags, and those left to other systems, are never among them. */
  tagsToRemove: string[];
};

/** Compares field by field; true: they differ. */
export function compareKey(desired: DesiredKey, observed: ObservedKey): Comparison {
  const { name, value } = desired.ownership_tag;
  const wanted: Tags = { ...desired.tags_all, [name]: value };
  return {
    description: desired.description !== observed.description,
    policy: desired.policy !== null && !policiesEqual(desired.policy, observed.policy),
    rotation: compareRotation(desired, observed),
    tagsToSet: Object.fromEntries(
      Object.entries(wanted).filter(([tag, text]) => !Object.hasOwn(observed.tags, tag) || observed.tags[tag] !== text),
    ),
    tagsToRemove: Object.keys(observed.tags).filter(
      (tag) => !Object.hasOwn(wanted, tag) && !isReservedByAws(tag) && !isIgnored(tag, desired.ignore_tags),
    ),
  };
}

function compareRotation(desired: DesiredKey, { rotation }: ObservedKey): Comparison['rotation'] {
  if (rotation === null) return null;
  if (desired.enable_key_rotation !== rotation.enabled) return 'enable_key_rotation';
  if (!desired.enable_key_rotation) return null;
  return desired.rotation_period_in_days === rotation.period_in_days ? null : 'rotation_period_in_days';
}

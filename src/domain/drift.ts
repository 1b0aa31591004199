/** In what KMS differs from what was declared, for people to read. */
import { compareKey } from './comparison.ts';
import { immutableArguments } from './key-rules.ts';
import { enabledIn, isOutOfUse, isPendingDeletion } from './key-state.ts';
import { differingStatements, policyDifference } from './policy-equivalence.ts';
import { partitionIn } from './regions.ts';
import type { DesiredKey, Difference, ImmutableArguments, Json, ObservedKey } from './types.ts';

/**
 * The differences, field by field; for a policy the statements that differ, or else its other members, for tags each name. The ownership tag is
 * Keyward's affair and no difference.
 */
export function differences(desired: DesiredKey, observed: ObservedKey): Difference[] {
  if (desired.lifecycle === 'released') return [];
  if (desired.lifecycle === 'pending_deletion') {
    if (isPendingDeletion(observed)) return [];
    return [{ field: 'key_state', desired: 'PendingDeletion', observed: observed.key_state }];
  }
  const comparison = compareKey(desired, observed);
  const found: Difference[] = [];
  const differs = (field: string, wanted: Json, seen: Json) => found.push({ field, desired: wanted, observed: seen });
  for (const name of comparison.immutable) differs(name, desired[name], observed[name]);
  if (comparison.description) differs('description', desired.description, observed.description);
  // A key in another state does not tell whether it is enabled.
  if (isOutOfUse(observed)) {
    differs('key_state', desired.is_enabled ? 'Enabled' : 'Disabled', observed.key_state);
  } else if (comparison.isEnabled && enabledIn(observed.key_state) !== null) {
    differs('is_enabled', desired.is_enabled, observed.enabled);
  }
  // KMS says of a key pending deletion that it does not rotate, whatever it will do again when that is cancelled.
  const asked = isPendingDeletion(observed) ? null : comparison.rotation;
  if (asked === 'enable_key_rotation') {
    differs('enable_key_rotation', desired.enable_key_rotation, observed.rotation?.enabled ?? null);
  }
  if (asked === 'rotation_period_in_days') {
    differs('rotation_period_in_days', desired.rotation_period_in_days, observed.rotation?.period_in_days ?? null);
  }
  if (comparison.policy && desired.policy !== null && observed.policy !== null) {
    const difference = policyDifference(desired.policy, observed.policy, partitionIn(observed.arn));
    differs('policy', difference.desired, difference.observed);
  }
  const names = [...Object.keys(comparison.tagsToSet), ...comparison.tagsToRemove].sort();
  for (const name of names.filter((tag) => tag !== desired.ownership_tag.name)) {
    differs(`tags.${name}`, tagValue(desired.tags_all, name), tagValue(observed.tags, name));
  }
  return found;
}

function tagValue(tags: Record<string, string>, name: string): string | null {
  return Object.hasOwn(tags, name) ? (tags[name] ?? null) : null;
}

/**
 * What is declared by now in place of a difference that is gone: the declaration may have changed, as when it is adopted.
 * @returns for a policy the statements, those that differed where they are still declared.
 */
export function declaredNow(
  desired: Omit<DesiredKey, 'ownership_tag' | 'ignore_tags'>,
  { field, desired: before }: Difference,
): Json {
  const [name, tag] = [field.split('.', 1)[0], field.slice('tags.'.length)];
  switch (name) {
    case 'description':
    case 'is_enabled':
    case 'enable_key_rotation':
    case 'rotation_period_in_days':
      return desired[name];
    case 'tags':
      return tagValue(desired.tags_all, tag);
    case 'policy': {
      if (desired.policy === null || !Array.isArray(before)) return desired.policy === null ? null : before;
      // Both were declared: whether another way to write them is the same in this partition makes no difference.
      const isStillDeclared = differingStatements({ Statement: before }, desired.policy, '').desired.length === 0;
      return isStillDeclared ? before : (desired.policy['Statement'] ?? null);
    }
    default:
      if (isImmutable(name)) return desired[name];
      if (desired.lifecycle === 'pending_deletion') return 'PendingDeletion';
      return desired.is_enabled ? 'Enabled' : 'Disabled';
  }
}

function isImmutable(name: string | undefined): name is keyof ImmutableArguments {
  return immutableArguments.some((argument) => argument === name);
}

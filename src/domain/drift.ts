/** In what KMS differs from what was declared, for people to read. */
import { type Aim, type DesiredKey, type ObservedKey, type ToldName, toldArguments, toldNames } from './arguments.ts';
import { compareKey, valueIn } from './comparison.ts';
import { isOutOfUse, isPendingDeletion } from './key-state.ts';
import type { Difference, Json } from './values.ts';

/**
 * The differences, field by field; for a policy the statements that differ, or else its other members, for tags and aliases each
 * name. The ownership tag is Keyward's affair and no difference.
 */
export function differences(desired: DesiredKey, observed: ObservedKey): Difference[] {
  if (desired.lifecycle === 'released') return [];
  if (desired.lifecycle === 'pending_deletion') {
    return isPendingDeletion(observed) ? [] : [stateDifference(desired, observed)];
  }
  const { differing } = compareKey(desired, observed);
  return toldNames.flatMap((name) => {
    // A key in such a state does not tell whether it is enabled.
    if (name === 'is_enabled' && isOutOfUse(observed)) return [stateDifference(desired, observed)];
    const isDrift = differing.has(name) && toldArguments[name].isJudged?.(observed) !== false;
    return isDrift ? differencesOf(name, desired, observed) : [];
  });
}

function stateDifference(desired: DesiredKey, { key_state }: ObservedKey): Difference {
  return { field: 'key_state', desired: stateOf(desired), observed: key_state };
}

function differencesOf(name: ToldName, desired: DesiredKey, observed: ObservedKey): Difference[] {
  const plain = { field: name, desired: desired[name], observed: valueIn(name, observed) };
  return toldArguments[name].differences?.(desired[name], observed, desired) ?? [plain];
}

/** The argument in whose place a difference stands; null: it is that of the key's state, or of none that there is. */
export function argumentOf({ field }: Pick<Difference, 'field'>): ToldName | null {
  const name = /^(tags|aliases)\./.exec(field)?.[1] ?? field;
  return toldNames.find((one) => one === name) ?? null;
}

/**
 * What is declared by now in place of a difference that is gone: the declaration may have changed, as when it is adopted.
 * @returns for a policy the statements, those that differed where they are still declared; null: nothing.
 */
export function declaredNow(
  desired: Omit<DesiredKey, Exclude<keyof Aim, 'lifecycle' | 'tags_all'>>,
  gone: Difference,
): Json {
  const name = argumentOf(gone);
  if (name === null) return gone.field === 'key_state' ? stateOf(desired) : null;
  const { declaredNow: now } = toldArguments[name];
  return now === undefined ? desired[name] : now(desired[name], gone, desired);
}

/** KMS's KeyState for what is declared. */
function stateOf({ lifecycle, is_enabled }: Pick<DesiredKey, 'lifecycle' | 'is_enabled'>): string {
  if (lifecycle === 'pending_deletion') return 'PendingDeletion';
  return is_enabled ? 'Enabled' : 'Disabled';
}

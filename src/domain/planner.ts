/**
 * What KMS has to be told so that it holds what was declared. The one place that knows what KMS allows in which key
 * state (AWS KMS developer guide, "Key states of AWS KMS keys").
 */
import { aliasChanges, untoldKey } from './aliases.ts';
import { type DesiredKey, type ObservedKey, toldArguments } from './arguments.ts';
import { type Comparison, compareKey } from './comparison.ts';
import { isPendingDeletion } from './key-state.ts';
import { type CreateKeyParameters, makingOperations, type ReplicateKeyParameters, type Step } from './operations.ts';
import type { Scope } from './scope.ts';
import { mostTags } from './tags.ts';
import type { Tags } from './values.ts';

const none: Record<string, never> = {};

/**
 * The steps, in the order in which KMS accepts them: applying them in turn gives a key whose plan is empty.
 * @param observed null when there is no such key in KMS.
 */
export function plan(desired: DesiredKey, observed: ObservedKey | null): Step[] {
  if (observed === null) return desired.lifecycle === 'managed' ? planCreation(desired) : [];
  switch (desired.lifecycle) {
    case 'pending_deletion':
      return planDeletion(desired, observed);
    case 'released':
      return planRelease(desired, observed);
    case 'managed':
      return planUpdate(desired, observed, compareKey(desired, observed));
  }
}

/**
 * The steps for a part of the key only, whatever else differs. None for a key pending deletion, unless that is in this part:
 * KMS takes no change of it.
 */
export function planWithin({ fields, tagNames }: Scope, desired: DesiredKey, observed: ObservedKey): Step[] {
  const isOfLifecycle = fields.has('deletion_date');
  if (desired.lifecycle !== 'managed') return isOfLifecycle ? plan(desired, observed) : [];
  if (isPendingDeletion(observed) && !isOfLifecycle) return [];
  const whole = compareKey(desired, observed);
  const comparison = {
    differing: new Set([...whole.differing].filter((name) => fields.has(toldArguments[name].shownIn))),
    tagsToSet: Object.fromEntries(Object.entries(whole.tagsToSet).filter(([name]) => tagNames.has(name))),
    tagsToRemove: whole.tagsToRemove.filter((name) => tagNames.has(name)),
  };
  const is_enabled = fields.has('key_state') ? desired.is_enabled : (observed.enabled ?? desired.is_enabled);
  return planUpdate({ ...desired, is_enabled }, observed, comparison);
}

/**
 * The same steps for a key that is enabled and was not declared to be, as after an end between EnableKey and DisableKey: it is
 * disabled before anything that may have to wait. What comes first may be the claim, by which IAM tells what may be changed.
 */
export function disablingFirst(steps: Step[]): Step[] {
  const disable = steps.at(-1);
  if (disable?.operation !== 'DisableKey' || steps.some(({ operation }) => enabling.has(operation))) return steps;
  const claim = steps[0]?.operation === 'TagResource' ? steps.slice(0, 1) : [];
  const rest = steps.slice(claim.length, -1);
  const rotation = rest.find(({ operation }) => /^(En|Dis)ableKeyRotation$/.test(operation));
  if (rotation === undefined) return [...claim, disable, ...rest];
  return [...claim, disable, { ...disable, operation: 'EnableKey' }, ...rest, disable];
}

/** The steps that are carried out while a key is enabled which they leave disabled, from the one that enables it; else none. */
export function wayThroughEnabled(steps: Step[]): Step[] {
  const first = steps.findIndex(({ operation }) => enabling.has(operation));
  const last = steps.findLastIndex(({ operation }) => operation === 'DisableKey');
  return first < 0 || last < first ? [] : steps.slice(first, last + 1);
}

const enabling = new Set<Step['operation']>([...makingOperations, 'EnableKey']);

function planCreation(desired: DesiredKey): Step[] {
  // Until KMS is done with a replica it takes no change of it, and what rotates is its primary key.
  if (desired.replicates !== undefined) {
    const parameters = replicationParameters(desired, desired.replicates);
    return [{ operation: 'ReplicateKey', field: null, parameters }];
  }
  const steps: Step[] = [{ operation: 'CreateKey', field: null, parameters: creationParameters(desired) }];
  const unmade = { key_id: '', aliases: desired.aliases_elsewhere ?? {} };
  const { missing, elsewhere } = aliasChanges(desired.aliases ?? [], unmade);
  steps.push(...missing.map(createAlias));
  if (desired.enable_key_rotation) steps.push(enableRotation(desired, 'enable_key_rotation'));
  if (!desired.is_enabled) steps.push({ operation: 'DisableKey', field: 'is_enabled', parameters: none });
  // Who calls by an alias that another key has meets this one when it is all that it is to be.
  steps.push(...elsewhere.map(moveAlias));
  return steps;
}

function creationParameters(desired: DesiredKey): CreateKeyParameters {
  const { custom_key_store_id: store, xks_key_id: externalKey } = desired;
  return {
    Description: desired.description,
    KeyUsage: desired.key_usage,
    KeySpec: desired.customer_master_key_spec,
    Origin: externalKey !== null ? 'EXTERNAL_KEY_STORE' : store !== null ? 'AWS_CLOUDHSM' : 'AWS_KMS',
    ...(store === null ? {} : { CustomKeyStoreId: store }),
    ...(externalKey === null ? {} : { XksKeyId: externalKey }),
    MultiRegion: desired.multi_region,
    ...policyAndTags(desired),
  };
}

function replicationParameters(
  desired: DesiredKey,
  of: { KeyId: string; ReplicaRegion: string },
): ReplicateKeyParameters {
  return { ...of, Description: desired.description, ...policyAndTags(desired) };
}

function policyAndTags(desired: DesiredKey) {
  return {
    ...(desired.policy === null ? {} : { Policy: desired.policy }),
    BypassPolicyLockoutSafetyCheck: desired.bypass_policy_lockout_safety_check,
    Tags: { ...desired.tags_all, [desired.ownership_tag.name]: desired.ownership_tag.value },
  };
}

function planDeletion(desired: DesiredKey, observed: ObservedKey): Step[] {
  if (isPendingDeletion(observed)) return [];
  const parameters = { PendingWindowInDays: desired.deletion_window_in_days };
  const { tagsToSet, differing } = compareKey(desired, observed);
  const claim = planClaim(desired, observed, tagsToSet);
  // Aliases stay until KMS deletes the key, unless there are to be none: those of a key that a refused change has made.
  const isNone = differing.has('aliases') && desired.aliases?.length === 0;
  const extra = isNone ? aliasChanges([], observed).extra : [];
  return [
    ...claim,
    ...extra.map((name) => removeAlias(name, desired, observed)),
    { operation: 'ScheduleKeyDeletion', field: 'lifecycle', parameters },
  ];
}

/**
 * The ownership tag comes first where it is missing: by it, IAM may tell which keys Keyward may change. Of a key that has no
 * room for it, another tag goes before.
 */
function planClaim({ ownership_tag: { name, value } }: DesiredKey, { tags }: ObservedKey, tagsToSet: Tags): Step[] {
  const hasRoom = Object.hasOwn(tags, name) || Object.keys(tags).length < mostTags;
  if (!Object.hasOwn(tagsToSet, name) || !hasRoom) return [];
  return [{ operation: 'TagResource', field: 'tags', parameters: { Tags: { [name]: value } } }];
}

/** A key pending deletion can't be untagged: it keeps its ownership tag. Another record's is not taken off. */
function planRelease({ ownership_tag: { name, value } }: DesiredKey, observed: ObservedKey): Step[] {
  if (isPendingDeletion(observed) || observed.tags[name] !== value) return [];
  return [{ operation: 'UntagResource', field: 'tags', parameters: { TagKeys: [name] } }];
}

function planUpdate(desired: DesiredKey, observed: ObservedKey, comparison: Comparison): Step[] {
  const steps: Step[] = [];
  if (isPendingDeletion(observed)) steps.push({ operation: 'CancelKeyDeletion', field: 'lifecycle', parameters: none });
  const claim = planClaim(desired, observed, comparison.tagsToSet);
  steps.push(...claim);
  // Cancelling leaves the key disabled, and a disabled key refuses changes of its rotation: it is enabled for those.
  const isDisabled = observed.enabled === false || isPendingDeletion(observed);
  const rotation = observed.rotation === null ? null : rotationAskedFor(comparison);
  const mustEnable = isDisabled && (desired.is_enabled || rotation !== null);
  if (mustEnable) {
    const field = desired.is_enabled ? 'is_enabled' : (rotation ?? 'is_enabled');
    steps.push({ operation: 'EnableKey', field, parameters: none });
  }
  steps.push(...planRotation(desired, rotation));
  if (comparison.differing.has('description')) {
    const parameters = { Description: desired.description };
    steps.push({ operation: 'UpdateKeyDescription', field: 'description', parameters });
  }
  if (comparison.differing.has('policy') && desired.policy !== null) {
    const bypass = desired.bypass_policy_lockout_safety_check;
    const parameters = { Policy: desired.policy, BypassPolicyLockoutSafetyCheck: bypass };
    steps.push({ operation: 'PutKeyPolicy', field: 'policy', parameters });
  }
  steps.push(...planTags(claim.length === 0 ? comparison : without(comparison, desired.ownership_tag.name)));
  if (comparison.differing.has('aliases')) steps.push(...planAliases(desired, observed));
  const isEnabledByNow = observed.enabled === true || mustEnable;
  if (!desired.is_enabled && isEnabledByNow) {
    steps.push({ operation: 'DisableKey', field: 'is_enabled', parameters: none });
  }
  return steps;
}

type TagChanges = Pick<Comparison, 'tagsToSet' | 'tagsToRemove'>;

function without({ tagsToSet, tagsToRemove }: TagChanges, tag: string): TagChanges {
  const { [tag]: _claimed, ...rest } = tagsToSet;
  return { tagsToSet: rest, tagsToRemove };
}

type RotationArgument = 'enable_key_rotation' | 'rotation_period_in_days';

/** Which argument asks for a change of rotation; null: none does. */
function rotationAskedFor({ differing }: Comparison): RotationArgument | null {
  if (differing.has('enable_key_rotation')) return 'enable_key_rotation';
  return differing.has('rotation_period_in_days') ? 'rotation_period_in_days' : null;
}

function planRotation(desired: DesiredKey, rotation: RotationArgument | null): Step[] {
  if (rotation === null) return [];
  if (desired.enable_key_rotation) return [enableRotation(desired, rotation)];
  return [{ operation: 'DisableKeyRotation', field: 'enable_key_rotation', parameters: none }];
}

function enableRotation(desired: DesiredKey, field: RotationArgument): Step {
  const { rotation_period_in_days: days } = desired;
  const parameters = days === null ? {} : { RotationPeriodInDays: days };
  return { operation: 'EnableKeyRotation', field, parameters };
}

/** Names go before names come: a key never has more than KMS allows on the way. */
function planAliases(desired: DesiredKey, observed: ObservedKey): Step[] {
  const { missing, elsewhere, extra } = aliasChanges(desired.aliases ?? [], observed);
  const removed = extra.map((name) => removeAlias(name, desired, observed));
  return [...removed, ...missing.map(createAlias), ...elsewhere.map(moveAlias)];
}

function createAlias(AliasName: string): Step {
  return { operation: 'CreateAlias', field: 'aliases', parameters: { AliasName } };
}

function moveAlias({ name, from }: { name: string; from: string }): Step {
  return { operation: 'UpdateAlias', field: 'aliases', parameters: { AliasName: name, FromKeyId: from } };
}

function removeAlias(AliasName: string, { aliases_from }: DesiredKey, { key_id }: ObservedKey): Step {
  const ToKeyId = aliases_from?.[AliasName];
  if (ToKeyId !== undefined && ToKeyId !== untoldKey && ToKeyId !== key_id) {
    return { operation: 'UpdateAlias', field: 'aliases', parameters: { AliasName, FromKeyId: key_id, ToKeyId } };
  }
  return { operation: 'DeleteAlias', field: 'aliases', parameters: { AliasName } };
}

/** Tags go before tags come: a key never has more than KMS allows on the way. */
function planTags({ tagsToSet, tagsToRemove }: TagChanges): Step[] {
  const steps: Step[] = [];
  if (tagsToRemove.length > 0) {
    steps.push({ operation: 'UntagResource', field: 'tags', parameters: { TagKeys: tagsToRemove } });
  }
  if (Object.keys(tagsToSet).length > 0) {
    steps.push({ operation: 'TagResource', field: 'tags', parameters: { Tags: tagsToSet } });
  }
  return steps;
}

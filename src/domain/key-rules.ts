/** The rules that KMS has for the arguments of a key, as far as they can be known beforehand. */
import {
  type ArgumentName,
  argumentNames,
  type DeclaredKey,
  type ImmutableArguments,
  immutableArguments,
  nothingDeclared,
  standardRotationPeriod,
} from './arguments.ts';
import { usageFitsSpec, usagesBySpec } from './key-specs.ts';
import { principalFaults } from './refused-fields.ts';
import { type TagSettings, tagViolations } from './tags.ts';
import { depthOf, hasUnstorableText, unstorableText } from './text.ts';
import type { Json, PolicyDocument, Violation, ViolationCode } from './values.ts';

/** Bytes of a policy as JSON text in UTF-8. */
const largestPolicy = 32_768;
const deepestPolicy = 100;
/** What a caller may leave out or set to null: the default is meant. */
export type GivenArguments = { [Name in ArgumentName]?: DeclaredKey[Name] | null };

/** A key as it is to be kept, with the defaults for those arguments that are not given. */
export function withDefaults(given: GivenArguments): DeclaredKey {
  const values = argumentNames.map((name) => [name, given[name] ?? nothingDeclared[name]]);
  const complete: DeclaredKey = { ...nothingDeclared, ...Object.fromEntries(values) };
  if (complete.enable_key_rotation) complete.rotation_period_in_days ??= standardRotationPeriod;
  return complete;
}

export type RuleContext = { ownershipTagName: string; tagSettings: TagSettings };

type Rule = {
  /** The rule is left out when one of these is not even of its type. */
  fields: readonly ArgumentName[];
  violations(candidate: DeclaredKey, context: RuleContext): Violation[];
};

const rules: Rule[] = [
  { fields: ['key_usage', 'customer_master_key_spec'], violations: usageAgainstSpec },
  { fields: ['enable_key_rotation', 'customer_master_key_spec', 'custom_key_store_id'], violations: rotatable },
  { fields: ['rotation_period_in_days', 'enable_key_rotation'], violations: periodNeedsRotation },
  { fields: ['xks_key_id', 'custom_key_store_id'], violations: externalKeyNeedsStore },
  { fields: ['multi_region', 'custom_key_store_id'], violations: storeHoldsSingleRegion },
  { fields: ['customer_master_key_spec', 'custom_key_store_id'], violations: storeHoldsSymmetric },
  { fields: ['policy'], violations: ({ policy }) => (policy === null ? [] : policyFaults(policy)) },
  { fields: ['aliases'], violations: ({ aliases }) => (aliases ?? []).flatMap(aliasFaults) },
  {
    fields: ['tags'],
    violations: ({ tags }, { tagSettings, ownershipTagName }) => tagViolations(tags, tagSettings, ownershipTagName),
  },
  ...argumentNames.map((name) => ({
    fields: [name],
    violations: (candidate: DeclaredKey) => textFaults(name, candidate[name]),
  })),
];

/**
 * Every rule that the candidate breaks.
 * @param invalidFields fields whose value is not of the type that the schema asks for: rules on them are left out.
 */
export function argumentViolations(
  candidate: DeclaredKey,
  invalidFields: ReadonlySet<string>,
  context: RuleContext,
): Violation[] {
  return rules
    .filter(({ fields }) => !fields.some((field) => invalidFields.has(field)))
    .flatMap((rule) => rule.violations(candidate, context));
}

/** The immutable arguments that differ between two states of a key. */
export function immutableChanges(before: ImmutableArguments, after: ImmutableArguments): Violation[] {
  return immutableArguments
    .filter((name) => before[name] !== after[name])
    .map((name) => ({
      pointer: `/${name}`,
      code: 'immutable',
      detail: `${name} can't be changed from ${JSON.stringify(before[name])} to ${JSON.stringify(after[name])}: KMS fixes it when the key is made, so a replacement is needed.`,
    }));
}

function broken(pointer: string, detail: string, code: ViolationCode = 'incompatible'): Violation[] {
  return [{ pointer, code, detail }];
}

function usageAgainstSpec({ key_usage: usage, customer_master_key_spec: spec }: DeclaredKey): Violation[] {
  if (usageFitsSpec(usage, spec)) return [];
  return broken('/key_usage', `${usage} does not go with ${spec}; it takes ${usagesBySpec[spec].join(' or ')}.`);
}

function rotatable(candidate: DeclaredKey): Violation[] {
  if (!candidate.enable_key_rotation) return [];
  if (candidate.customer_master_key_spec !== 'SYMMETRIC_DEFAULT') {
    return broken('/enable_key_rotation', 'Only SYMMETRIC_DEFAULT keys can be rotated automatically; set it to false.');
  }
  if (candidate.custom_key_store_id === null) return [];
  return broken('/enable_key_rotation', 'Keys in a custom key store are not rotated automatically; set it to false.');
}

function periodNeedsRotation({ rotation_period_in_days, enable_key_rotation }: DeclaredKey): Violation[] {
  if (rotation_period_in_days === null || enable_key_rotation) return [];
  return broken('/rotation_period_in_days', 'A rotation period needs enable_key_rotation to be true.');
}

function externalKeyNeedsStore({ xks_key_id, custom_key_store_id }: DeclaredKey): Violation[] {
  if (xks_key_id === null || custom_key_store_id !== null) return [];
  return broken('/xks_key_id', 'An external key needs the custom_key_store_id of its external key store.');
}

function storeHoldsSingleRegion({ multi_region, custom_key_store_id }: DeclaredKey): Violation[] {
  if (!multi_region || custom_key_store_id === null) return [];
  return broken('/multi_region', 'A key in a custom key store is never a multi-Region key; set it to false.');
}

function storeHoldsSymmetric({ customer_master_key_spec: spec, custom_key_store_id }: DeclaredKey): Violation[] {
  if (spec === 'SYMMETRIC_DEFAULT' || custom_key_store_id === null) return [];
  return broken('/customer_master_key_spec', 'A custom key store holds SYMMETRIC_DEFAULT keys only.');
}

function policyFaults(policy: PolicyDocument): Violation[] {
  if (depthOf(policy, deepestPolicy) > deepestPolicy) {
    return broken('/policy', `The policy nests more than ${deepestPolicy} levels deep.`, 'too_deep');
  }
  if (hasUnstorableText(policy)) {
    return broken('/policy', 'The policy has a NUL character or half of a surrogate pair in it.', 'invalid_text');
  }
  const faults = principalFaults(policy);
  if (faults.length > 0) return faults;
  const bytes = new TextEncoder().encode(JSON.stringify(policy)).length;
  if (bytes <= largestPolicy) return [];
  return broken(
    '/policy',
    `A policy has at most ${largestPolicy} bytes as JSON text; this one has ${bytes}.`,
    'too_long',
  );
}

function aliasFaults(name: string, index: number): Violation[] {
  if (!name.startsWith('alias/aws/')) return [];
  return broken(`/aliases/${index}`, 'Names that begin with alias/aws/ are those of AWS services.', 'reserved');
}

function textFaults(name: ArgumentName, value: Json): Violation[] {
  if (typeof value !== 'string' || !unstorableText(value)) return [];
  return broken(`/${name}`, 'The text has a NUL character or half of a surrogate pair in it.', 'invalid_text');
}

/** What a Terraform state says of an `aws_kms_key`, and where KMS disagrees. */
import { leftAlone } from './adoption.ts';
import { type DeclaredKey, type DesiredKey, nothingDeclared, type ToldName, toldNames } from './arguments.ts';
import { differences } from './drift.ts';
import type { IgnoreTags } from './tags.ts';
import { depthOf, hasUnstorableText, unstorableText } from './text.ts';
import type { Difference, Json, ObservedKey, PolicyDocument, Tags } from './types.ts';

/** The attributes that are read of a key; nothing else of a state is kept. */
export const statedAttributes = [
  'arn',
  'description',
  'key_usage',
  'customer_master_key_spec',
  'custom_key_store_id',
  'xks_key_id',
  'multi_region',
  'policy',
  'bypass_policy_lockout_safety_check',
  'deletion_window_in_days',
  'is_enabled',
  'enable_key_rotation',
  'rotation_period_in_days',
  'tags',
  'tags_all',
] as const;

/** A key as a state has it: its arguments, as far as it tells them. */
export type StatedKey = Partial<Omit<DeclaredKey, 'lifecycle' | 'pending_window_in_days' | 'tags'>> & {
  tags: Tags;
  tags_all: Tags;
};

const deepestPolicy = 100;

/** Reads the attributes of an instance. What is not of its type is not told. */
export function statedKey(attributes: Readonly<Record<string, Json>>): StatedKey {
  const given = Object.entries(attributes).flatMap(([name, value]) => {
    const read = readers[name]?.(value);
    return read === undefined ? [] : [[name, read]];
  });
  const stated = Object.fromEntries(given) as Partial<StatedKey>;
  // A period is stated of keys that do not rotate too.
  if (stated.enable_key_rotation === false) stated.rotation_period_in_days = null;
  const tags = tagsIn(attributes['tags']);
  return { ...stated, tags, tags_all: { ...tags, ...tagsIn(attributes['tags_all']) } };
}

type Reader = (value: Json | undefined) => Json | undefined;

const text: Reader = (value) => (typeof value === 'string' && !unstorableText(value) ? value : undefined);
const truth: Reader = (value) => (typeof value === 'boolean' ? value : undefined);
const number: Reader = (value) => (Number.isInteger(value) ? value : undefined);
/** Terraform writes none as null, or as an empty text. */
const textOrNone: Reader = (value) => (value === null || value === '' ? null : text(value));

const readers: Readonly<Record<string, Reader>> = {
  description: (value) => (value === null ? '' : text(value)),
  key_usage: text,
  customer_master_key_spec: text,
  custom_key_store_id: textOrNone,
  xks_key_id: textOrNone,
  multi_region: truth,
  policy: (value) => (typeof value === 'string' ? policyIn(value) : undefined),
  bypass_policy_lockout_safety_check: truth,
  // Of a key that Terraform has imported, it does not know the window.
  deletion_window_in_days: (value) =>
    Number.isInteger(value) && 7 <= Number(value) && Number(value) <= 30 ? value : undefined,
  is_enabled: truth,
  enable_key_rotation: truth,
  rotation_period_in_days: (value) => (value === null || value === 0 ? null : number(value)),
};

function policyIn(json: string): PolicyDocument | undefined {
  try {
    const policy = JSON.parse(json) as Json;
    const isDocument = policy !== null && typeof policy === 'object' && !Array.isArray(policy);
    if (!isDocument || depthOf(policy, deepestPolicy) > deepestPolicy || hasUnstorableText(policy)) return undefined;
    return policy as PolicyDocument;
  } catch {
    return undefined;
  }
}

function tagsIn(value: Json | undefined): Tags {
  if (value === null || typeof value !== 'object' || Array.isArray(value)) return {};
  const tags = Object.entries(value).filter(
    (tag): tag is [string, string] => typeof tag[1] === 'string' && !unstorableText(tag[0] + tag[1]),
  );
  return Object.fromEntries(tags);
}

/** Where a state and KMS disagree, as it is told of drift: `desired` is what the state says. */
export function disagreements(
  stated: StatedKey,
  observed: ObservedKey,
  { ignore_tags, ownershipTagName }: { ignore_tags: IgnoreTags; ownershipTagName: string },
): Difference[] {
  const untold = toldNames.filter((name): name is ToldName => name !== 'tags' && stated[name] === undefined);
  const desired: DesiredKey = {
    ...nothingDeclared,
    ...stated,
    ignore_tags,
    ownership_tag: { name: ownershipTagName, value: '' },
  };
  return differences(leftAlone(desired, observed, untold), observed);
}

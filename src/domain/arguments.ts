/**
 * The arguments of a key: Terraform's of `aws_kms_key`, and Keyward's own. What is known of one stands in its entry of the
 * table; the contract, the declared state, import, adoption, drift and comparison derive from there.
 */
import { type AliasTargets, aliasDifferences, aliasesOf, haveSameNames } from './aliases.ts';
import type { KeySpec, KeyUsage } from './key-specs.ts';
import { enabledIn, isPendingDeletion } from './key-state.ts';
import { differingStatements, policiesEqual, policyDifference } from './policy-equivalence.ts';
import { isRendering } from './policy-form.ts';
import { partitionIn } from './regions.ts';
import { type IgnoreTags, tagChanges, tagIn } from './tags.ts';
import type { Difference, Json, KeyState, Lifecycle, PolicyDocument, Rotation, Tags } from './values.ts';

/**
 * What KMS was seen to hold. null in a field that every key has: KMS did not tell. Tags are all of KMS's tags, the
 * ownership tag and any `aws:` tags among them.
 */
export type ObservedKey = {
  arn: string;
  key_id: string;
  key_state: KeyState;
  /** As last known: not every state tells. */
  enabled: boolean | null;
  /** AWS_KMS, EXTERNAL, AWS_CLOUDHSM or EXTERNAL_KEY_STORE. */
  origin: string | null;
  description: string | null;
  key_usage: KeyUsage | null;
  customer_master_key_spec: KeySpec | null;
  /** KMS tells it of a key in a store alone: whether null means none, `origin` tells. */
  custom_key_store_id: string | null;
  xks_key_id: string | null;
  multi_region: boolean;
  /** The ARN of the primary key of a multi-Region key, its own where it is that; null: KMS does not tell, or it is none. */
  primary_arn: string | null;
  /** The ARNs of the replica keys of a multi-Region key. */
  replica_arns: string[];
  policy: PolicyDocument | null;
  /** null where rotation does not apply to the key. */
  rotation: Rotation | null;
  tags: Tags;
  /** Of the key's aliases, and of those that are declared of it. null: KMS was not asked, or did not tell. */
  aliases: AliasTargets | null;
  /** RFC 3339; null unless KMS has set a date. */
  deletion_date: string | null;
};

/** An observation of which KMS has told nothing but which key it is of, as one that is older than a field tells nothing of it. */
export const nothingTold: Omit<ObservedKey, 'arn' | 'key_id' | 'key_state'> = {
  enabled: null,
  origin: null,
  description: null,
  key_usage: null,
  customer_master_key_spec: null,
  custom_key_store_id: null,
  xks_key_id: null,
  multi_region: false,
  primary_arn: null,
  replica_arns: [],
  policy: null,
  rotation: null,
  tags: {},
  aliases: null,
  deletion_date: null,
};

/** A key as DescribeKey tells of it: the rest is read apart. */
export type DescribedFields = Omit<ObservedKey, 'policy' | 'rotation' | 'tags' | 'aliases'>;

export const notRotating: Rotation = { enabled: false, period_in_days: null };

/** How KMS makes a key, in what DescribeKey does not tell and CreateKey does not carry. */
export const newlyMade: Omit<ObservedKey, keyof DescribedFields | 'policy' | 'tags'> = {
  rotation: notRotating,
  aliases: {},
};

/** An argument that KMS does not tell: Keyward's own, or one that goes along with a call. */
export type Untold<Value> = { kind: 'keyward' | 'call'; default: Value };

/**
 * An argument that KMS tells.
 * - held: it can be changed by calls.
 * - fixed: KMS fixes it when it makes the key.
 */
export type Told<Value> = {
  kind: 'held' | 'fixed';
  /** What is declared where an owner says nothing. */
  default: Value;
  /** Declared as null, it is not managed: whatever KMS holds is left in force. */
  nullIsUnmanaged?: true;
  /** The field of an observation in which it shows. */
  shownIn: keyof ObservedKey;
  /** Its value in KMS; null: none, or it is not told. Absent: the field itself. */
  read?(key: ObservedKey): Value | null;
  /** Whether KMS tells it. Absent: where it reads as other than null. */
  isTold?(key: ObservedKey): boolean;
  /** Whether a difference is somebody's doing, and not that of the state which the key is in. Absent: it is. */
  isJudged?(key: ObservedKey): boolean;
  /** An observation of it when KMS holds this value. Absent: the field itself. */
  holding?(value: Value, key: ObservedKey): Partial<ObservedKey>;
  /** Whether KMS holds what is declared. Absent: where both are equal. */
  isHeld?(declared: Value, seen: Value | null, key: ObservedKey, aim: Aim): boolean;
  /** What to declare when it is taken over as it is in KMS. Absent: what it reads as. */
  adopted?(declared: Value, seen: Value | null, key: ObservedKey): Value;
  /** How it differs, for people to read. Absent: the value that is declared, and the one in KMS. */
  differences?(declared: Value, key: ObservedKey, aim: Aim): Difference[];
  /** What is declared by now in place of a difference that is gone. Absent: the value. */
  declaredNow?(declared: Value, gone: Difference, aim: Pick<Aim, 'tags_all'>): Json;
};

/** What is aimed at beside the arguments. */
export type Aim = {
  lifecycle: Lifecycle;
  /** `tags` over the provider's default tags; without the ownership tag and those that are ignored. */
  tags_all: Tags;
  ignore_tags: IgnoreTags;
  /** How KMS writes the policy, where that is otherwise than it is declared. */
  policy_form?: PolicyDocument;
  /** Where aliases that are declared point at, of a key that is to be made. Absent: nowhere, as far as is known. */
  aliases_elsewhere?: AliasTargets;
  /** From where a change that KMS does not hold has moved aliases here: what of it is not declared goes back there. */
  aliases_from?: AliasTargets;
  /** The ownership tag, which every managed key carries in KMS. */
  ownership_tag: { name: string; value: string };
  /** Of a replica that KMS has yet to make: of which key, and in which Region. */
  replicates?: { KeyId: string; ReplicaRegion: string };
};

const ofKeyward = <Value>(standard: Value) => ({ kind: 'keyward', default: standard }) as const;
const ofCall = <Value>(standard: Value) => ({ kind: 'call', default: standard }) as const;
const held = <Value>(entry: Omit<Told<Value>, 'kind'>) => ({ ...entry, kind: 'held' }) as const;
const fixed = <Value>(entry: Omit<Told<Value>, 'kind'>) => ({ ...entry, kind: 'fixed' }) as const;

/** Days; what KMS takes when rotation is turned on without a period. */
export const standardRotationPeriod = 365;

const inStore = new Set<string | null>(['EXTERNAL_KEY_STORE', 'AWS_CLOUDHSM']);

/** In the order in which differences are told. */
export const argumentTable = {
  key_usage: fixed<KeyUsage>({ default: 'ENCRYPT_DECRYPT', shownIn: 'key_usage' }),
  customer_master_key_spec: fixed<KeySpec>({ default: 'SYMMETRIC_DEFAULT', shownIn: 'customer_master_key_spec' }),
  // A key in no store has no store id, and one with key material of KMS's own no external key.
  custom_key_store_id: fixed<string | null>({
    default: null,
    shownIn: 'custom_key_store_id',
    isTold: (key) => key.custom_key_store_id !== null || !inStore.has(key.origin),
  }),
  xks_key_id: fixed<string | null>({
    default: null,
    shownIn: 'xks_key_id',
    isTold: (key) => key.xks_key_id !== null || key.origin !== 'EXTERNAL_KEY_STORE',
  }),
  multi_region: fixed<boolean>({ default: false, shownIn: 'multi_region' }),
  description: held<string>({ default: '', shownIn: 'description' }),
  is_enabled: held<boolean>({
    default: true,
    shownIn: 'key_state',
    read: ({ enabled }) => enabled,
    isJudged: ({ key_state }) => enabledIn(key_state) !== null,
    holding: (enabled) => ({ enabled }),
  }),
  // Of a key pending deletion KMS says that it does not rotate, whatever it will do again when that is cancelled.
  enable_key_rotation: held<boolean>({
    default: false,
    shownIn: 'rotation',
    read: ({ rotation }) => rotation?.enabled ?? null,
    isTold: ({ rotation }) => rotation === null || rotation.enabled !== null,
    isJudged: (key) => !isPendingDeletion(key),
    holding: (enabled, { rotation }) => ({
      rotation: { enabled, period_in_days: enabled ? (rotation?.period_in_days ?? null) : null },
    }),
    isHeld: (declared, seen) => declared === (seen ?? false),
    adopted: (_declared, seen) => seen ?? false,
  }),
  /** Days, 90 to 2560; null where enable_key_rotation is false, or KMS did not tell when the key was taken over. */
  rotation_period_in_days: held<number | null>({
    default: null,
    shownIn: 'rotation',
    read: ({ rotation }) => (rotation?.enabled ? rotation.period_in_days : null),
    isTold: ({ rotation }) => rotation === null || rotation.enabled === false || rotation.period_in_days !== null,
    isJudged: (key) => !isPendingDeletion(key),
    holding: (days, { rotation }) => ({ rotation: { enabled: rotation?.enabled ?? null, period_in_days: days } }),
    isHeld: (declared, seen) => declared === null || seen === null || declared === seen,
  }),
  policy: held<PolicyDocument | null>({
    default: null,
    nullIsUnmanaged: true,
    shownIn: 'policy',
    isHeld: isPolicyHeld,
    adopted: adoptedPolicy,
    differences: (declared, { policy, arn }) => [
      { field: 'policy', ...policyDifference(declared ?? {}, policy ?? {}, partitionIn(arn)) },
    ],
    declaredNow: statementsNow,
  }),
  tags: held<Tags>({
    default: {},
    shownIn: 'tags',
    isHeld: (_declared, _seen, { tags }, aim) => namesOfChangedTags(tags, aim).length === 0,
    // The ownership tag is Keyward's affair and no difference.
    differences: (_declared, { tags }, aim) =>
      namesOfChangedTags(tags, aim)
        .filter((name) => name !== aim.ownership_tag.name)
        .sort()
        .map((name) => ({ field: `tags.${name}`, desired: tagIn(aim.tags_all, name), observed: tagIn(tags, name) })),
    declaredNow: (_declared, { field }, { tags_all }) => tagIn(tags_all, field.slice('tags.'.length)),
  }),
  aliases: held<string[] | null>({
    default: null,
    nullIsUnmanaged: true,
    shownIn: 'aliases',
    read: aliasesOf,
    holding: (names, { key_id }) => ({
      aliases: names === null ? null : Object.fromEntries(names.map((name) => [name, key_id])),
    }),
    isHeld: (declared, seen) => declared === null || seen === null || haveSameNames(declared, seen),
    adopted: (declared, seen) =>
      declared !== null && seen !== null && haveSameNames(declared, seen) ? declared : seen,
    differences: (declared, key) => aliasDifferences(declared ?? [], key),
    declaredNow: (declared, { field, desired, observed }) =>
      declared?.includes(field.slice('aliases.'.length)) ? (desired ?? observed) : null,
  }),
  bypass_policy_lockout_safety_check: ofCall<boolean>(false),
  /** Days, 7 to 30. */
  deletion_window_in_days: ofCall<number>(30),
  drift_policy: ofKeyward<'enforce' | 'report' | 'adopt'>('enforce'),
  deletion_protection: ofKeyward<boolean>(false),
} satisfies Record<string, Untold<Json> | Told<Json>>;

type Table = typeof argumentTable;
type NameOf<Kind> = { [Name in keyof Table]: Table[Name]['kind'] extends Kind ? Name : never }[keyof Table];
type Values<Name extends keyof Table> = { [Each in Name]: Table[Each]['default'] };

export type ArgumentName = keyof Table;
/** Of an argument that KMS tells. */
export type ToldName = NameOf<'held' | 'fixed'>;
/** Of one that calls change. */
export type HeldName = NameOf<'held'>;

/** The arguments that KMS can never change once a key exists. */
export type ImmutableArguments = Values<NameOf<'fixed'>>;
/** The arguments of `aws_kms_key` with every default filled in. */
export type KeyArguments = Values<NameOf<'held' | 'fixed' | 'call'>>;

/** What the planner aims at. */
export type DesiredKey = KeyArguments & Aim;

/** All that an owner decides about a key: its arguments, and what Keyward is to do with it. */
export type DeclaredKey = Values<ArgumentName> & {
  lifecycle: Lifecycle;
  /** Days; the window that DELETE asked for, or null for deletion_window_in_days. */
  pending_window_in_days: number | null;
};

export const argumentNames = Object.keys(argumentTable) as ArgumentName[];

/** The arguments that KMS tells. */
export const toldArguments = Object.fromEntries(
  Object.entries(argumentTable).filter(([, entry]) => 'shownIn' in entry),
) as Record<ToldName, Told<Json>>;
export const toldNames = Object.keys(toldArguments) as ToldName[];
export const immutableArguments = toldNames.filter(
  (name): name is keyof ImmutableArguments => argumentTable[name].kind === 'fixed',
);

/** The arguments that a replica has in common with its primary key, which alone can be asked for them. */
export const ofPrimary: ReadonlySet<ArgumentName> = new Set<ArgumentName>([
  ...immutableArguments,
  'enable_key_rotation',
  'rotation_period_in_days',
]);

/** What a key declares of which nothing is said. */
export const nothingDeclared: DeclaredKey = {
  ...(Object.fromEntries(argumentNames.map((name) => [name, argumentTable[name].default])) as Values<ArgumentName>),
  lifecycle: 'managed',
  pending_window_in_days: null,
};

function isPolicyHeld(declared: PolicyDocument | null, seen: PolicyDocument | null, { arn }: ObservedKey, aim: Aim) {
  if (declared === null || seen === null) return true;
  const partition = partitionIn(arn);
  if (policiesEqual(declared, seen, partition)) return true;
  return aim.policy_form !== undefined && policiesEqual(aim.policy_form, seen, partition);
}

/**
 * One that is written otherwise and means the same is no change, nor is the unique id of a principal: that says how KMS
 * writes the policy, or that the principal is gone.
 */
function adoptedPolicy(declared: PolicyDocument | null, seen: PolicyDocument | null, { arn }: ObservedKey) {
  if (declared === null || seen === null) return declared;
  const partition = partitionIn(arn);
  return policiesEqual(declared, seen, partition) || isRendering(declared, seen, partition) ? declared : seen;
}

/** The statements that differed, where they are still declared. */
function statementsNow(declared: PolicyDocument | null, { desired: before }: Difference): Json {
  if (declared === null || !Array.isArray(before)) return declared === null ? null : before;
  // Both were declared: whether another way to write them is the same in this partition makes no difference.
  const isStillDeclared = differingStatements({ Statement: before }, declared, '').desired.length === 0;
  return isStillDeclared ? before : (declared['Statement'] ?? null);
}

function namesOfChangedTags(tags: Tags, aim: Aim): string[] {
  const { tagsToSet, tagsToRemove } = tagChanges(tags, aim);
  return [...Object.keys(tagsToSet), ...tagsToRemove];
}

/** The key: Terraform's `aws_kms_key` as the HTTP contract has it. */
import { type Static, type TSchema, Type } from 'typebox';
import { keySpecs, keyUsages } from '../domain/key-specs.ts';
import { nullable, nullableRef, ref, stringEnum, Tags, Timestamp } from './common.ts';

export const keyStates = [
  'creating',
  'in_sync',
  'updating',
  'drifted',
  'failed',
  'pending_deletion',
  'deleted',
] as const;
export const driftPolicies = ['enforce', 'report', 'adopt'] as const;

/** In answers the sets have names of their own: a generated client then has one type for each. */
export const KeyUsage = stringEnum(keyUsages, { $id: 'KeyUsage', description: "KMS's KeyUsage." });
export const KeySpec = stringEnum(keySpecs, { $id: 'KeySpec', description: "KMS's KeySpec." });
export const DriftPolicy = stringEnum(driftPolicies, { $id: 'DriftPolicy', description: 'What to do about drift.' });
export const SyncState = stringEnum(keyStates, { $id: 'SyncState', description: 'How a key is doing.' });

const policyDescription =
  'What was asked for; where none was, the policy that KMS gave the key. One value: a PATCH replaces it whole. null stops managing it and leaves the one in force.';

/** The arguments with their limits. Which rules hold between them is `domain/key-rules`. */
const argument = {
  provider: Type.String({ minLength: 1, maxLength: 64, default: 'default', description: 'Account and Region.' }),
  description: Type.String({ maxLength: 8192, default: '' }),
  key_usage: stringEnum(keyUsages, { default: 'ENCRYPT_DECRYPT', description: 'Immutable.' }),
  customer_master_key_spec: stringEnum(keySpecs, { default: 'SYMMETRIC_DEFAULT', description: 'Immutable.' }),
  custom_key_store_id: Type.String({ minLength: 1, maxLength: 22, description: 'Immutable.' }),
  xks_key_id: Type.String({ minLength: 1, maxLength: 128, description: 'Immutable. Needs custom_key_store_id.' }),
  multi_region: Type.Boolean({ default: false, description: 'Immutable.' }),
  bypass_policy_lockout_safety_check: Type.Boolean({ default: false }),
  deletion_window_in_days: Type.Integer({ minimum: 7, maximum: 30, default: 30 }),
  is_enabled: Type.Boolean({ default: true }),
  enable_key_rotation: Type.Boolean({ default: false }),
  rotation_period_in_days: Type.Integer({ minimum: 90, maximum: 2560, description: 'Needs enable_key_rotation.' }),
  drift_policy: stringEnum(driftPolicies, { default: 'enforce', description: 'What to do about drift.' }),
  deletion_protection: Type.Boolean({ default: false, description: 'While true, DELETE is refused.' }),
};

const policyOrNull = Type.Unsafe<Record<string, unknown> | null>({
  type: ['object', 'null'],
  additionalProperties: true,
  description: policyDescription,
});
const tagsOrNull = nullable(
  Type.Unsafe<Record<string, string>>({ type: 'object', additionalProperties: { type: 'string' } }),
);
const tagPatch = Type.Unsafe<Record<string, string | null> | null>({
  type: ['object', 'null'],
  additionalProperties: { type: ['string', 'null'] },
  description: 'Merged by name: tags to set; null removes a tag.',
});

/** The body of POST /keys. null stands for the default. */
export const KeyCreate = Type.Object(
  {
    provider: Type.Optional(nullable(argument.provider)),
    description: Type.Optional(nullable(argument.description)),
    key_usage: Type.Optional(nullable(argument.key_usage)),
    customer_master_key_spec: Type.Optional(nullable(argument.customer_master_key_spec)),
    custom_key_store_id: Type.Optional(nullable(argument.custom_key_store_id)),
    xks_key_id: Type.Optional(nullable(argument.xks_key_id)),
    multi_region: Type.Optional(nullable(argument.multi_region)),
    policy: Type.Optional(policyOrNull),
    bypass_policy_lockout_safety_check: Type.Optional(nullable(argument.bypass_policy_lockout_safety_check)),
    deletion_window_in_days: Type.Optional(nullable(argument.deletion_window_in_days)),
    is_enabled: Type.Optional(nullable(argument.is_enabled)),
    enable_key_rotation: Type.Optional(nullable(argument.enable_key_rotation)),
    rotation_period_in_days: Type.Optional(nullable(argument.rotation_period_in_days)),
    tags: Type.Optional(tagsOrNull),
    drift_policy: Type.Optional(nullable(argument.drift_policy)),
    deletion_protection: Type.Optional(nullable(argument.deletion_protection)),
  },
  { $id: 'KeyCreate', additionalProperties: false },
);

/** Clients generated from the document would send a default that it names, and a PATCH would then change that field. */
function withoutDefaults<Properties extends Record<string, TSchema>>(properties: Properties): Properties {
  const entries = Object.entries(properties).map(([name, schema]) => {
    const { default: _default, ...rest } = schema as TSchema & { default?: unknown };
    return [name, Type.Optional(rest as TSchema)];
  });
  return Object.fromEntries(entries) as Properties;
}

/** The body of PATCH: a JSON Merge Patch (RFC 7396) in which each field is one value, and tags alone merge. */
export const KeyPatch = Type.Object(
  { ...withoutDefaults(KeyCreate.properties), tags: Type.Optional(tagPatch) },
  {
    $id: 'KeyPatch',
    additionalProperties: false,
    description:
      'JSON Merge Patch (RFC 7396): null restores a default. Each field is one value and is replaced whole, a policy too; tags alone merge, by name.',
  },
);

export const KeyImport = Type.Object(
  {
    key_id: Type.String({
      minLength: 1,
      maxLength: 2048,
      description: 'A key id, key ARN, alias name (alias/…) or alias ARN.',
    }),
    provider: Type.Optional(nullable(argument.provider)),
  },
  { $id: 'KeyImport', additionalProperties: false },
);

export const KeyResolution = Type.Object(
  {
    key_id: Type.String({ minLength: 1, maxLength: 256, description: 'One of the key ids that status.error names.' }),
    is_mine: Type.Boolean({
      description: "true: it is this record's key. false: it is not; no search takes it for that.",
    }),
  },
  { $id: 'KeyResolution', additionalProperties: false },
);

export const Drift = Type.Object(
  {
    field: Type.String(),
    desired: Type.Unsafe<unknown>({}),
    observed: Type.Unsafe<unknown>({}),
    since: Timestamp,
  },
  { $id: 'Drift', additionalProperties: false },
);

export const SyncError = Type.Object(
  {
    code: Type.String(),
    message: Type.String(),
    operation: nullable(Type.String({ description: 'Of KMS, STS or the tagging API; null: not on record.' })),
    retryable: Type.Boolean(),
    attempts: Type.Integer({ description: 'How often it was tried.' }),
    since: Type.Optional(Timestamp),
    next_attempt_at: nullable(Timestamp),
  },
  { $id: 'SyncError', additionalProperties: false },
);

export const KeyStatus = Type.Object(
  {
    state: ref(SyncState),
    generation: Type.Integer({ description: 'Of the desired state; grows with every accepted change.' }),
    synced_generation: Type.Integer({ description: 'The last generation that KMS holds.' }),
    key_state: nullable(Type.String({ description: "KMS's KeyState, as last observed." })),
    drift: Type.Array(ref(Drift)),
    error: nullableRef(SyncError),
    held: Type.Boolean({
      description: 'Nothing is written to KMS until somebody resumes the key or asks something of it: see Recovery.',
    }),
    deletion_date: nullable(Timestamp),
    last_observed_at: nullable(Timestamp),
    last_synced_at: nullable(Timestamp),
  },
  { $id: 'KeyStatus', additionalProperties: false },
);

export const Key = Type.Object(
  {
    id: Type.String({ format: 'uuid', description: "UUIDv7; Keyward's own." }),
    arn: nullable(Type.String({ description: 'null until created.' })),
    key_id: nullable(Type.String({ description: "KMS's key id; null until created." })),
    provider: argument.provider,
    description: argument.description,
    key_usage: ref(KeyUsage),
    customer_master_key_spec: ref(KeySpec),
    custom_key_store_id: nullable(argument.custom_key_store_id),
    xks_key_id: nullable(argument.xks_key_id),
    multi_region: argument.multi_region,
    policy: policyOrNull,
    bypass_policy_lockout_safety_check: argument.bypass_policy_lockout_safety_check,
    deletion_window_in_days: argument.deletion_window_in_days,
    is_enabled: argument.is_enabled,
    enable_key_rotation: argument.enable_key_rotation,
    rotation_period_in_days: nullable(argument.rotation_period_in_days),
    tags: ref(Tags),
    tags_all: ref(Tags),
    drift_policy: ref(DriftPolicy),
    deletion_protection: argument.deletion_protection,
    status: ref(KeyStatus),
    created_at: Timestamp,
    updated_at: Timestamp,
  },
  { $id: 'Key', additionalProperties: false },
);

export const KeyList = Type.Object(
  { items: Type.Array(ref(Key)), next_cursor: nullable(Type.String()) },
  { $id: 'KeyList', additionalProperties: false },
);

export const KeyListQuery = Type.Object(
  {
    limit: Type.Optional(Type.Integer({ minimum: 1, maximum: 200, default: 50 })),
    cursor: Type.Optional(Type.String({ description: 'next_cursor of the page before.' })),
    state: Type.Optional(stringEnum(keyStates)),
    key_usage: Type.Optional(stringEnum(keyUsages)),
    customer_master_key_spec: Type.Optional(stringEnum(keySpecs)),
    is_enabled: Type.Optional(Type.Boolean()),
    multi_region: Type.Optional(Type.Boolean()),
    provider: Type.Optional(Type.String()),
    key_id: Type.Optional(Type.String()),
    arn: Type.Optional(Type.String()),
    tag: Type.Optional(
      Type.Array(Type.String(), {
        description: 'name:value or name; repeatable, all must hold. A colon in the name is written \\:',
      }),
    ),
  },
  { additionalProperties: false },
);

export const DeletionQuery = Type.Object(
  {
    deletion_window_in_days: Type.Optional(
      Type.Integer({ minimum: 7, maximum: 30, description: "Overrides the key's own deletion_window_in_days." }),
    ),
  },
  { additionalProperties: false },
);

// Any text is taken for an id: what names no key is answered 404 by the service.
export const KeyParams = Type.Object({ id: Type.String({ description: "Keyward's id of the key." }) });

export type KeyCreate = Static<typeof KeyCreate>;
export type KeyPatch = Static<typeof KeyPatch>;
export type KeyImport = Static<typeof KeyImport>;
export type KeyResolution = Static<typeof KeyResolution>;
export type KeyListQuery = Static<typeof KeyListQuery>;
export type Key = Static<typeof Key>;
export type Drift = Static<typeof Drift>;
export type SyncError = Static<typeof SyncError>;

export const keySchemas = [
  KeyUsage,
  KeySpec,
  DriftPolicy,
  SyncState,
  KeyCreate,
  KeyPatch,
  KeyImport,
  KeyResolution,
  Drift,
  SyncError,
  KeyStatus,
  Key,
  KeyList,
];

/** The key: Terraform's `aws_kms_key` as the HTTP contract has it. */
import { type Static, type TOptional, type TSchema, Type } from 'typebox';
import { type ArgumentName, argumentTable, type DeclaredKey } from '../domain/arguments.ts';
import { keySpecs, keyUsages } from '../domain/key-specs.ts';
import { nullable, nullableRef, page, ref, stringEnum, Tags, Timestamp } from './common.ts';

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

/** What there is to say of an argument. */
function about(name: ArgumentName, text?: string) {
  const words = [
    ...(argumentTable[name].kind === 'fixed' ? ['Immutable.'] : []),
    ...(text === undefined ? [] : [text]),
  ];
  return words.length === 0 ? {} : { description: words.join(' ') };
}

/**
 * A default is told in words: of one that its schema names, generated clients make a value that they always send, and a PATCH
 * would then change that field, a POST override what the provider says.
 */
function defaultOf(name: ArgumentName): string[] {
  if (name === 'drift_policy') return ["Default: the provider's drift_policy."];
  const { default: standard } = argumentTable[name];
  return standard === null ? [] : [`Default: ${JSON.stringify(standard)}.`];
}

const policyText =
  'What was asked for; where none was, the policy that KMS gave the key. One value: a PATCH replaces it whole. null stops managing it and leaves the one in force.';

/** The arguments with their limits, in the order in which they are shown. Which rules hold between them is `domain/key-rules`. */
const argument = {
  description: Type.String({ maxLength: 8192, ...about('description') }),
  key_usage: stringEnum(keyUsages, about('key_usage')),
  customer_master_key_spec: stringEnum(keySpecs, about('customer_master_key_spec')),
  custom_key_store_id: Type.String({ minLength: 1, maxLength: 22, ...about('custom_key_store_id') }),
  xks_key_id: Type.String({ minLength: 1, maxLength: 128, ...about('xks_key_id', 'Needs custom_key_store_id.') }),
  multi_region: Type.Boolean(about('multi_region')),
  policy: Type.Unsafe<Record<string, unknown>>({
    type: 'object',
    additionalProperties: true,
    ...about('policy', policyText),
  }),
  bypass_policy_lockout_safety_check: Type.Boolean(about('bypass_policy_lockout_safety_check')),
  deletion_window_in_days: Type.Integer({ minimum: 7, maximum: 30, ...about('deletion_window_in_days') }),
  is_enabled: Type.Boolean(about('is_enabled')),
  enable_key_rotation: Type.Boolean(about('enable_key_rotation')),
  rotation_period_in_days: Type.Integer({
    minimum: 90,
    maximum: 2560,
    ...about('rotation_period_in_days', 'Needs enable_key_rotation.'),
  }),
  tags: Type.Unsafe<Record<string, string>>({ type: 'object', additionalProperties: { type: 'string' } }),
  drift_policy: stringEnum(driftPolicies, about('drift_policy', 'What to do about drift.')),
  deletion_protection: Type.Boolean(about('deletion_protection', 'While true, DELETE is refused.')),
} satisfies Record<ArgumentName, TSchema>;

const providerLimits = { minLength: 1, maxLength: 64 };
const provider = Type.String({ ...providerLimits, description: 'Account and Region.' });
const givenProvider = Type.String({ ...providerLimits, description: 'Account and Region. Default: "default".' });

type Arguments = typeof argument;
type OrNull<Schema extends TSchema> = ReturnType<typeof nullable<Schema>>;

/** What a body may have. null stands for the default. */
const given = mapped((name, schema) => {
  const { description } = schema as { description?: string };
  const words = [...(description === undefined ? [] : [description]), ...defaultOf(name)];
  return Type.Optional(nullable({ ...schema, ...(words.length === 0 ? {} : { description: words.join(' ') }) }));
}) as {
  [Name in ArgumentName]: TOptional<OrNull<Arguments[Name]>>;
};

/** What an answer has. A set of values has a name of its own there. */
const shown = {
  ...(mapped((name, schema) => (argumentTable[name].default === null ? nullable(schema) : schema)) as {
    [Name in ArgumentName]: null extends DeclaredKey[Name] ? OrNull<Arguments[Name]> : Arguments[Name];
  }),
  key_usage: ref(KeyUsage),
  customer_master_key_spec: ref(KeySpec),
  tags: ref(Tags),
  drift_policy: ref(DriftPolicy),
};

/** Those of `aws_kms_key`, and Keyward's own. */
const { drift_policy, deletion_protection, ...ofKms } = shown;

function mapped(map: (name: ArgumentName, schema: TSchema) => TSchema): Record<string, TSchema> {
  const entries = Object.entries(argument) as [ArgumentName, TSchema][];
  return Object.fromEntries(entries.map(([name, schema]) => [name, map(name, schema)]));
}

const tagPatch = Type.Unsafe<Record<string, string | null> | null>({
  type: ['object', 'null'],
  additionalProperties: { type: ['string', 'null'] },
  description: 'Merged by name: tags to set; null removes a tag.',
});

/** The body of POST /keys. null stands for the default. */
export const KeyCreate = Type.Object(
  { provider: Type.Optional(nullable(givenProvider)), ...given },
  { $id: 'KeyCreate', additionalProperties: false },
);

/** The body of PATCH: a JSON Merge Patch (RFC 7396) in which each field is one value, and tags alone merge. */
export const KeyPatch = Type.Object(
  { ...KeyCreate.properties, tags: Type.Optional(tagPatch) },
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
    provider: Type.Optional(nullable(givenProvider)),
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
    provider,
    ...ofKms,
    tags_all: ref(Tags),
    drift_policy,
    deletion_protection,
    status: ref(KeyStatus),
    allowed_actions: Type.Optional(
      Type.Array(Type.String(), {
        description:
          'The permissions that the caller has on this key, in the answer to GET of one key. What its state allows is another question.',
      }),
    ),
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
    ...page,
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

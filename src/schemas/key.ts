/** The key: Terraform's `aws_kms_key` as the HTTP contract has it. */
import { type Static, Type } from 'typebox';
import { type ArgumentName, type ImmutableArguments, ofPrimary } from '../domain/arguments.ts';
import { KeyId, nullable, nullableRef, ref, stringEnum, Tags, TagsPatch, timestamp } from './common.ts';
import {
  DriftPolicy,
  given,
  givenProvider,
  KeySpec,
  KeyUsage,
  provider,
  providerLimits,
  shown,
} from './key-arguments.ts';

export const keyStates = [
  'creating',
  'in_sync',
  'updating',
  'drifted',
  'failed',
  'pending_deletion',
  'deleted',
] as const;
export const SyncState = stringEnum(keyStates, { $id: 'SyncState', description: 'How a key is doing.' });

/** Those of `aws_kms_key`, and Keyward's own. */
const { drift_policy, deletion_protection, ...ofKms } = shown;

/** The body of POST /keys. null stands for the default. */
const declaration = { provider: Type.Optional(nullable(givenProvider)), ...given };

export const KeyCreate = Type.Object(
  {
    ...declaration,
    replicate_to: Type.Optional(
      nullable(
        Type.Array(Type.String(providerLimits), {
          maxItems: 50,
          uniqueItems: true,
          description:
            'Providers, each of another Region, at which replicas are made with the key: the same description, policy, tags and so on, but no aliases. Needs multi_region. Default: [].',
          examples: [['eu'], ['eu', 'us-west']],
        }),
      ),
    ),
  },
  { $id: 'KeyCreate', additionalProperties: false, description: 'A key to create. null stands for the default.' },
);

/** The body of PUT /keys/{id}: what is declared of one key. */
export const KeyPut = Type.Object(declaration, {
  $id: 'KeyPut',
  additionalProperties: false,
  description: 'The whole of what is declared of a key. null stands for the default.',
});

/** What a replica declares of its own. */
const ofReplica = Object.fromEntries(
  Object.entries(given).filter(([name]) => !ofPrimary.has(name as ArgumentName)),
) as Omit<typeof given, keyof ImmutableArguments | 'enable_key_rotation' | 'rotation_period_in_days'>;

/** The body of POST /keys/{id}/replicas. */
export const ReplicaCreate = Type.Object(
  { provider: Type.String({ ...providerLimits, description: 'The same account, and another Region.' }), ...ofReplica },
  {
    $id: 'ReplicaCreate',
    additionalProperties: false,
    description:
      'A replica of a multi-Region key. null stands for the default. Usage, spec and rotation are those of the primary key.',
  },
);

/** The body of PATCH: a JSON Merge Patch (RFC 7396) in which each field is one value, and tags alone merge. */
export const KeyPatch = Type.Object(
  {
    ...declaration,
    tags: Type.Optional(nullableRef(TagsPatch, { description: 'Merged by name; null removes all.' })),
  },
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
  { $id: 'KeyImport', additionalProperties: false, description: 'A key of KMS to manage from now on.' },
);

export const KeyResolution = Type.Object(
  {
    key_id: Type.String({ minLength: 1, maxLength: 256, description: 'One of the key ids that status.error names.' }),
    is_mine: Type.Boolean({
      description: "true: it is this record's key. false: it is not; no search takes it for that.",
    }),
  },
  { $id: 'KeyResolution', additionalProperties: false, description: "Whether a key of KMS is a record's." },
);

export const Drift = Type.Object(
  {
    field: Type.String({
      description: 'The argument that differs; of one tag: `tags.<name>`, of one alias: `aliases.<name>`.',
    }),
    desired: Type.Unsafe<unknown>({ description: 'As declared; null: it is not to be there.' }),
    observed: Type.Unsafe<unknown>({ description: 'As KMS has it; null: it is not there.' }),
    since: timestamp('When it was first seen.'),
  },
  { $id: 'Drift', description: 'A difference between what is declared and what KMS has.' },
);

export const SyncError = Type.Object(
  {
    code: Type.String({ description: "KMS's error, or Keyward's own." }),
    message: Type.String({ description: 'What is wrong, in words.' }),
    operation: nullable(Type.String({ description: 'Of KMS, STS or the tagging API; null: not on record.' })),
    retryable: Type.Boolean({ description: 'Whether Keyward tries again by itself.' }),
    attempts: Type.Integer({ description: 'How often it was tried.' }),
    since: Type.Optional(timestamp('When it was first met.')),
    next_attempt_at: nullable(timestamp('When it is tried again; null: not before something changes.')),
  },
  { $id: 'SyncError', description: 'Why KMS does not hold what is declared.' },
);

export const Replica = Type.Object(
  {
    id: nullable(Type.String({ description: 'Of its record; null: it has none that you may see.' })),
    provider: nullable(Type.String({ description: 'Of its record; null: it has none that you may see.' })),
    arn: nullable(Type.String({ description: 'null until created.' })),
    state: nullableRef(SyncState, { description: '`status.state` of its record; null: it has none that you may see.' }),
    key_state: nullable(Type.String({ description: "KMS's KeyState, as last observed; null: not known." })),
  },
  { $id: 'Replica', description: 'A replica of a multi-Region key.' },
);

export const KeyStatus = Type.Object(
  {
    state: ref(SyncState),
    generation: Type.Integer({ description: 'Of the desired state; grows with every accepted change.' }),
    synced_generation: Type.Integer({ description: 'The last generation that KMS holds.' }),
    key_state: nullable(Type.String({ description: "KMS's KeyState, as last observed." })),
    drift: Type.Array(ref(Drift), { description: 'What somebody else changed in KMS.' }),
    error: nullableRef(SyncError, { description: 'What stands in the way; null: nothing.' }),
    aliases: nullable(
      Type.Array(Type.String(), {
        description:
          'The names that point at the key, as last observed; null: not known, as where they are not managed.',
      }),
    ),
    primary_arn: nullable(
      Type.String({
        description: 'Of a multi-Region replica: the ARN of its primary key, as last observed; else null.',
      }),
    ),
    replicas: Type.Array(ref(Replica), {
      description: 'Of a multi-Region primary key: its replicas, those that are being made too.',
    }),
    held: Type.Boolean({
      description: 'Nothing is written to KMS until somebody resumes the key or asks something of it: see Recovery.',
    }),
    deletion_date: nullable(timestamp('When KMS deletes the key; null: it does not.')),
    last_observed_at: nullable(timestamp('When KMS was last asked about it.')),
    last_synced_at: nullable(timestamp('When KMS last held all that is declared.')),
  },
  { $id: 'KeyStatus', description: 'How a key is doing in KMS.' },
);

export const TakenAlias = Type.Object(
  {
    alias: Type.String({ description: 'Its name.' }),
    id: nullable(Type.String({ description: 'The key that it was taken from; null: no record has that.' })),
    arn: nullable(Type.String({ description: 'Of the KMS key that it was taken from; null: KMS does not tell.' })),
  },
  { $id: 'TakenAlias', description: 'An alias that another key had.' },
);

export const Key = Type.Object(
  {
    id: Type.String({ ...KeyId, description: "UUID; Keyward's own." }),
    arn: nullable(Type.String({ description: 'null until created.' })),
    key_id: nullable(Type.String({ description: "KMS's key id; null until created." })),
    provider,
    replica_of: nullable(
      Type.String({
        format: 'uuid',
        description: 'Of a multi-Region replica: the id of its primary key; null: it is none, or that has no record.',
      }),
    ),
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
    aliases_taken: Type.Optional(
      Type.Array(ref(TakenAlias), {
        description: 'In the answer to a write with take_aliases=true: the aliases that it took from other keys.',
      }),
    ),
    etag: Type.Optional(Type.String({ description: 'The ETag of the key, in lists: for If-Match.' })),
    created_at: timestamp('When the record was made.'),
    updated_at: timestamp('When what is declared of it last changed.'),
  },
  { $id: 'Key', description: "A key: Terraform's aws_kms_key, and how it is doing in KMS." },
);

/** A key with some of its fields. */
export const KeyPartial = Type.Object(
  Object.fromEntries(Object.entries(Key.properties).map(([name, schema]) => [name, Type.Optional(schema)])),
  { $id: 'KeyPartial', description: 'A key, with those of its fields alone that `fields` asks for.' },
);

/** A media type of its own: an answer of application/json is a whole key, and the types of generated clients say so. */
export const partialType = 'application/vnd.keyward.partial+json';

export const KeyField = stringEnum(Object.keys(Key.properties) as (keyof Key)[], {
  $id: 'KeyField',
  description: 'A field of a key.',
});

export const fields = Type.Optional(
  Type.Array(ref(KeyField), {
    minItems: 1,
    description: `Only these fields, with commas between them. The answer is then of type ${partialType}; default: all, and application/json.`,
  }),
);

export const KeyQuery = Type.Object({ fields }, { additionalProperties: false });

export const takeAliases = Type.Optional(
  Type.Boolean({
    description:
      'true: an alias that another key has is taken from it, and `aliases_taken` says from which; a managed one declares it no more. That needs keys:update on it, or, of one that no record has, keys:import. Default: false, and 409 says whose it is.',
  }),
);

export const TakeQuery = Type.Object({ take_aliases: takeAliases }, { additionalProperties: false });

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
export type ReplicaCreate = Static<typeof ReplicaCreate>;
export type Replica = Static<typeof Replica>;
export type KeyPatch = Static<typeof KeyPatch>;
export type KeyImport = Static<typeof KeyImport>;
export type KeyResolution = Static<typeof KeyResolution>;
export type Key = Static<typeof Key>;
export type KeyField = keyof Key;
export type Drift = Static<typeof Drift>;
export type SyncError = Static<typeof SyncError>;

export const keySchemas = [
  KeyUsage,
  KeySpec,
  DriftPolicy,
  SyncState,
  KeyCreate,
  KeyPut,
  KeyPatch,
  ReplicaCreate,
  KeyImport,
  KeyResolution,
  Drift,
  SyncError,
  Replica,
  KeyStatus,
  TakenAlias,
  Key,
  KeyPartial,
  KeyField,
];

/** Lists of keys: which keys, in which order, and how many. */
import { type Static, Type } from 'typebox';
import { KeyId, page, pageOf, ref, stringEnum } from './common.ts';
import { fields, Key, KeyPartial, SyncState } from './key.ts';
import { DriftPolicy, KeySpec, KeyUsage } from './key-arguments.ts';

export const KeyList = pageOf(Key, 'KeyList', 'keys');
export const KeyPartialList = pageOf(KeyPartial, 'KeyPartialList', 'keys, with some of their fields');

export const keySorts = ['created_at', 'updated_at', 'description', 'state'] as const;

/** What generated clients call the values: some make no name of one that begins with `-`. */
const sortNames: Record<(typeof keySorts)[number], string> = {
  created_at: 'CreatedAt',
  updated_at: 'UpdatedAt',
  description: 'Description',
  state: 'State',
};

export const KeySort = stringEnum([...keySorts, ...keySorts.map((name) => `-${name}` as const)], {
  $id: 'KeySort',
  'x-enum-varnames': ['', 'Descending'].flatMap((order) => keySorts.map((sort) => `${sortNames[sort]}${order}`)),
  description:
    'The order of a list of keys; `-`: descending. Of descriptions the first 100 characters count, in either case of ASCII letters.',
});

const since = (what: string) =>
  Type.Optional(Type.String({ format: 'date-time', description: `Only keys ${what} then or later. RFC 3339.` }));

const filters = {
  state: Type.Optional(
    Type.Array(ref(SyncState), {
      description: 'Only keys in one of these states; repeatable. Absent: all but deleted.',
    }),
  ),
  key_usage: Type.Optional(ref(KeyUsage)),
  customer_master_key_spec: Type.Optional(ref(KeySpec)),
  is_enabled: Type.Optional(Type.Boolean({ description: 'Only keys that are declared enabled, or are not.' })),
  multi_region: Type.Optional(Type.Boolean({ description: 'Only multi-Region keys, or others.' })),
  drift_policy: Type.Optional(ref(DriftPolicy)),
  deletion_protection: Type.Optional(Type.Boolean({ description: 'Only keys with that protection, or without.' })),
  replica_of: Type.Optional(Type.String({ ...KeyId, description: 'Only replicas of the key with this id.' })),
  provider: Type.Optional(Type.String({ description: 'Only keys of this provider.' })),
  key_id: Type.Optional(Type.String({ description: 'Only the key with this id in KMS.' })),
  arn: Type.Optional(Type.String({ description: 'Only the key with this ARN.' })),
  tag: Type.Optional(
    Type.Array(Type.String(), {
      description: 'name:value or name; repeatable, all must hold. A colon in the name is written \\:',
    }),
  ),
  alias: Type.Optional(
    Type.String({
      description:
        'Only keys with this alias (alias/…): declared, or last seen in KMS. What no key declares is not known; GET /v1/keys/lookup asks KMS.',
    }),
  ),
  q: Type.Optional(
    Type.String({
      maxLength: 256,
      description:
        'Only keys with this text in the description, the ARN, the key id, or a name or value of tags_all; in either case, of letters beyond ASCII as the locale of the database has it.',
    }),
  ),
  created_since: since('that were declared'),
  updated_since: since('whose declaration changed'),
};

export const KeyFilters = Type.Object(filters, { additionalProperties: false });
export const KeyListQuery = Type.Object(
  {
    ...page,
    sort: Type.Optional(
      ref(KeySort, {
        description:
          'The order; default: `-created_at`. A key that changes what it is sorted by, between two pages, may be met twice or missed.',
      }),
    ),
    ...filters,
    fields,
  },
  { additionalProperties: false },
);

export const KeyLookup = Type.Object(
  {
    key: Type.String({
      minLength: 1,
      maxLength: 2048,
      description: "Keyward's id, the key id or ARN of KMS, an alias (alias/…) or an alias ARN.",
    }),
    provider: Type.Optional(
      Type.String({
        maxLength: 64,
        description: 'Only keys of this provider: several may have a multi-Region key id or an alias of the same name.',
      }),
    ),
  },
  { additionalProperties: false },
);

const Counts = Type.Unsafe<Record<string, number>>({
  $id: 'Counts',
  type: 'object',
  additionalProperties: { type: 'integer' },
  description: 'Numbers of keys, by a value that they have in common.',
});

const countsOf = (what: string) => ref(Counts, { description: `By ${what}; those without keys are left out.` });

/** How many keys there are. */
export const KeySummary = Type.Object(
  {
    total: Type.Integer({ description: 'All of them.' }),
    by_state: countsOf('state'),
    by_provider: countsOf('provider'),
    by_key_usage: countsOf('key_usage'),
    by_customer_master_key_spec: countsOf('customer_master_key_spec'),
  },
  { $id: 'KeySummary', description: 'How many keys there are, of each kind.' },
);

export type KeyFilters = Static<typeof KeyFilters>;
export type KeyLookup = Static<typeof KeyLookup>;
export type KeySort = Static<typeof KeySort>;
export type KeySummary = Static<typeof KeySummary>;
export type KeyListQuery = Static<typeof KeyListQuery>;

export const keyListSchemas = [KeySort, KeyList, KeyPartialList, Counts, KeySummary];

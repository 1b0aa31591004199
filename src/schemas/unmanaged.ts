/** Keys that KMS has and Keyward does not manage. */
import { type Static, Type } from 'typebox';
import { keySpecs, keyUsages } from '../domain/key-specs.ts';
import { nullable, nullableRef, openEnum, page, pageOf, ref, stringEnum, Tags, timestamp } from './common.ts';

const untold = 'null: KMS does not tell.';

export const UnmanagedKey = Type.Object(
  {
    provider: Type.String({ description: 'The provider that it was found at.' }),
    key_id: Type.String({ description: "KMS's id of the key." }),
    arn: Type.String({ description: 'Its ARN.' }),
    description: nullable(Type.String({ description: `What it is for, in words. ${untold}` })),
    key_usage: nullable(openEnum(keyUsages, { description: `What the key is for. ${untold}` })),
    customer_master_key_spec: nullable(openEnum(keySpecs, { description: `The kind of key material. ${untold}` })),
    multi_region: nullable(Type.Boolean({ description: `Whether it is a multi-Region key. ${untold}` })),
    key_state: nullable(Type.String({ description: `KMS's KeyState. ${untold}` })),
    key_manager: nullable(openEnum(['CUSTOMER', 'AWS'], { description: `AWS: only AWS can change it. ${untold}` })),
    is_replica: nullable(Type.Boolean({ description: `Whether it is the replica of a multi-Region key. ${untold}` })),
    creation_date: nullable(timestamp(`When it was made. ${untold}`)),
    deletion_date: nullable(timestamp('When KMS deletes it; null: it does not.')),
    tags: nullableRef(Tags, { description: `Those that an owner may set. ${untold}` }),
    aliases: nullable(Type.Array(Type.String(), { description: `Names of its aliases. ${untold}` })),
    claimed_id: nullable(
      Type.String({ description: 'The id in its ownership tag: Keyward made or managed it, and has no record of it.' }),
    ),
    observed_at: timestamp('When KMS was asked about it; its aliases are as of the sweep.'),
  },
  { $id: 'UnmanagedKey', description: 'A key in KMS that Keyward does not manage.' },
);

const ProviderSweep = Type.Object(
  {
    provider: Type.String({ description: 'The provider.' }),
    as_of: nullable(timestamp('When its keys were last gone through; null: not yet, and that is done soon.')),
    error: nullable(Type.String({ description: 'Why the last try broke off; null: it did not.' })),
  },
  { $id: 'ProviderSweep', description: "How old what is known of a provider's keys is." },
);

const { properties } = pageOf(UnmanagedKey, 'UnmanagedKeyList', 'keys that Keyward does not manage');
export const UnmanagedKeyList = Type.Object(
  {
    ...properties,
    sweeps: Type.Array(ref(ProviderSweep), { description: 'Of the providers that were asked for, how old that is.' }),
  },
  { $id: 'UnmanagedKeyList', description: 'A page of keys that Keyward does not manage.' },
);

export const UnmanagedKind = stringEnum(['aws', 'replicas'], {
  $id: 'UnmanagedKind',
  description:
    'aws: AWS managed keys; replicas: replicas of multi-Region keys, which are imported in their own Region.',
});

export const UnmanagedKeyQuery = Type.Object(
  {
    provider: Type.Optional(Type.String({ description: 'Only keys of this provider. Default: of all.' })),
    tag: Type.Optional(
      Type.Array(Type.String(), {
        description: 'name:value or name; repeatable, all must hold. A colon in the name is written \\:',
      }),
    ),
    alias: Type.Optional(
      Type.String({ maxLength: 256, description: 'Only the key behind this alias, such as alias/payments.' }),
    ),
    q: Type.Optional(
      Type.String({
        maxLength: 256,
        description: 'Only keys with this text in the description, ARN, key id, a name or value of a tag, or an alias.',
      }),
    ),
    include: Type.Optional(
      Type.Array(ref(UnmanagedKind), { description: 'With these too, with commas between them. Default: without.' }),
    ),
    ...page,
  },
  { additionalProperties: false },
);

export type UnmanagedKey = Static<typeof UnmanagedKey>;
export type UnmanagedKeyList = Static<typeof UnmanagedKeyList>;
export type UnmanagedKeyQuery = Static<typeof UnmanagedKeyQuery>;

export const unmanagedSchemas = [UnmanagedKey, ProviderSweep, UnmanagedKeyList, UnmanagedKind];

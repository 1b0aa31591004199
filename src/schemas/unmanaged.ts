/** Keys that KMS has and Keyward does not manage. */
import { type Static, Type } from 'typebox';
import { keySpecs, keyUsages } from '../domain/key-specs.ts';
import { nullable, openEnum, page, pageOf, ref, Tags } from './common.ts';

export const UnmanagedKey = Type.Object(
  {
    provider: Type.String({ description: 'The provider that it was found at.' }),
    key_id: Type.String({ description: "KMS's id of the key." }),
    arn: Type.String({ description: 'Its ARN.' }),
    description: nullable(Type.String({ description: 'null: KMS does not tell, as in the two fields below.' })),
    key_usage: nullable(openEnum(keyUsages, { description: 'What the key is for.' })),
    customer_master_key_spec: nullable(openEnum(keySpecs, { description: 'The kind of key material.' })),
    multi_region: Type.Boolean({ description: 'Whether it is a multi-Region key.' }),
    key_state: Type.String({ description: "KMS's KeyState." }),
    tags: ref(Tags),
    claimed_id: nullable(
      Type.String({ description: 'The id in its ownership tag: Keyward made or managed it, and has no record of it.' }),
    ),
  },
  { $id: 'UnmanagedKey', description: 'A customer managed key in KMS that Keyward does not manage.' },
);

export const UnmanagedKeyList = pageOf(UnmanagedKey, 'UnmanagedKeyList', 'keys that Keyward does not manage');

export const UnmanagedKeyQuery = Type.Object(
  {
    provider: Type.Optional(Type.String({ description: 'Whose keys. Default: "default".' })),
    ...page,
  },
  { additionalProperties: false },
);

export type UnmanagedKey = Static<typeof UnmanagedKey>;
export type UnmanagedKeyQuery = Static<typeof UnmanagedKeyQuery>;

export const unmanagedSchemas = [UnmanagedKey, UnmanagedKeyList];

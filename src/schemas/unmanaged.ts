/** Keys that KMS has and Keyward does not manage. */
import { type Static, Type } from 'typebox';
import { nullable, nullableRef, page, ref, Tags } from './common.ts';
import { KeySpec, KeyUsage } from './key.ts';

export const UnmanagedKey = Type.Object(
  {
    provider: Type.String(),
    key_id: Type.String(),
    arn: Type.String(),
    description: nullable(Type.String({ description: 'null: KMS does not tell, as in the two fields below.' })),
    key_usage: nullableRef(KeyUsage),
    customer_master_key_spec: nullableRef(KeySpec),
    multi_region: Type.Boolean(),
    key_state: Type.String({ description: "KMS's KeyState." }),
    tags: ref(Tags),
    claimed_id: nullable(
      Type.String({ description: 'The id in its ownership tag: Keyward made or managed it, and has no record of it.' }),
    ),
  },
  { $id: 'UnmanagedKey', additionalProperties: false },
);

export const UnmanagedKeyList = Type.Object(
  { items: Type.Array(ref(UnmanagedKey)), next_cursor: nullable(Type.String()) },
  { $id: 'UnmanagedKeyList', additionalProperties: false },
);

export const UnmanagedKeyQuery = Type.Object(
  {
    provider: Type.Optional(Type.String({ description: 'Default: "default".' })),
    ...page,
  },
  { additionalProperties: false },
);

export type UnmanagedKey = Static<typeof UnmanagedKey>;
export type UnmanagedKeyQuery = Static<typeof UnmanagedKeyQuery>;

export const unmanagedSchemas = [UnmanagedKey, UnmanagedKeyList];

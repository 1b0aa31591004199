/** The grants of a key. */
import { type Static, Type } from 'typebox';
import { nullable, nullableRef, page, pageOf, timestamp } from './common.ts';
import { KeyParams } from './key.ts';

const principal = (who: string) => nullable(Type.String({ description: `The ARN of the principal ${who}.` }));
const service = (who: string) => nullable(Type.String({ description: `The AWS service ${who}.` }));

export const EncryptionContext = Type.Unsafe<Record<string, string>>({
  $id: 'EncryptionContext',
  type: 'object',
  additionalProperties: { type: 'string' },
  description: 'Pairs of an encryption context; no secrets: CloudTrail shows them.',
});

export const GrantConstraints = Type.Object(
  {
    encryption_context_subset: nullableRef(EncryptionContext, {
      description: 'What a request must have among others.',
    }),
    encryption_context_equals: nullableRef(EncryptionContext, {
      description: 'What a request must have, and no more.',
    }),
    source_arn: nullable(Type.String({ description: 'The ARN of the resource that a request must be for.' })),
  },
  { $id: 'GrantConstraints', description: 'What a request must have for the grant to allow it; null: nothing.' },
);

export const KeyGrant = Type.Object(
  {
    grant_id: Type.String({ description: "KMS's id of the grant." }),
    name: nullable(Type.String({ description: 'Its name.' })),
    grantee_principal: principal('that may do it'),
    grantee_service_principal: service('that may do it'),
    retiring_principal: principal('that may retire it'),
    retiring_service_principal: service('that may retire it'),
    issuing_account: nullable(Type.String({ description: 'The account that made it.' })),
    operations: Type.Array(Type.String(), { description: 'The operations of KMS that it allows.' }),
    constraints: nullableRef(GrantConstraints, { description: 'What it is limited to; null: nothing.' }),
    creation_date: nullable(timestamp('When it was made.')),
  },
  {
    $id: 'KeyGrant',
    description: 'A grant, as KMS lists it; null: it does not tell, or there is none. Its token is never shown.',
  },
);

export const KeyGrantList = pageOf(KeyGrant, 'KeyGrantList', "a key's grants");

const grantId = { minLength: 1, maxLength: 128, pattern: '^[^\\x00-\\x20\\x7f]+$' };

export const KeyGrantQuery = Type.Object(
  {
    ...page,
    grant_id: Type.Optional(Type.String({ ...grantId, description: 'Only the grant with this id.' })),
    grantee_principal: Type.Optional(
      Type.String({
        minLength: 1,
        maxLength: 256,
        pattern: '^[\\w+=,.@:/-]+$',
        description: 'Only grants to this principal.',
      }),
    ),
  },
  { additionalProperties: false },
);

export const KeyGrantParams = Type.Object({
  ...KeyParams.properties,
  grant_id: Type.String({ ...grantId, description: "KMS's id of the grant." }),
});

export type KeyGrantQuery = Static<typeof KeyGrantQuery>;

export const grantSchemas = [EncryptionContext, GrantConstraints, KeyGrant, KeyGrantList];

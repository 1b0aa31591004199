/** Building blocks of the HTTP contract. */
import { type Static, type TSchema, Type } from 'typebox';

/** A string out of a set, as client generators like to read it. */
export function stringEnum<const Values extends readonly string[]>(values: Values, options: object = {}) {
  return Type.Unsafe<Values[number]>({ type: 'string', enum: [...values], ...options });
}

/** The schema, or null. */
export function nullable<Schema extends TSchema>(schema: Schema) {
  const { type } = schema as { type?: string };
  if (type === undefined) return Type.Unsafe<Static<Schema> | null>({ anyOf: [schema, { type: 'null' }] });
  const values = (schema as { enum?: unknown[] }).enum;
  const withNull = values === undefined ? {} : { enum: [...values, null] };
  return Type.Unsafe<Static<Schema> | null>({ ...schema, ...withNull, type: [type, 'null'] });
}

/** A reference to a schema by its name, so that it appears once, under that name, in the OpenAPI document. */
export function ref<Schema extends TSchema>(schema: Schema) {
  const { $id } = schema as { $id?: string };
  if ($id === undefined) throw new Error('Only a schema with an $id can be referred to');
  return Type.Unsafe<Static<Schema>>({ $ref: `${$id}#` });
}

/** The same, or null. */
export function nullableRef<Schema extends TSchema>(schema: Schema) {
  return Type.Unsafe<Static<Schema> | null>({ anyOf: [ref(schema), { type: 'null' }] });
}

/** RFC 3339 in UTC, with milliseconds. */
export const Timestamp = Type.String({ format: 'date-time' });

/** What every list takes. */
export const page = {
  limit: Type.Optional(
    Type.Integer({ minimum: 1, maximum: 200, description: 'The most items of a page. Default: 50.' }),
  ),
  cursor: Type.Optional(Type.String({ description: 'next_cursor of the page before; absent: the first page.' })),
};

export const Tags = Type.Unsafe<Record<string, string>>({
  $id: 'Tags',
  type: 'object',
  additionalProperties: { type: 'string' },
  description: 'Tag names and their values.',
  examples: [{ team: 'payments' }],
});

export const Policy = Type.Unsafe<Record<string, unknown>>({
  $id: 'Policy',
  type: 'object',
  additionalProperties: true,
  description: 'An IAM policy document as a JSON object (not as a string of JSON).',
});

/** One thing wrong with the input. */
export const InputError = Type.Object(
  {
    pointer: Type.String({ description: 'RFC 6901 pointer to the field in the body; for a parameter, its name.' }),
    detail: Type.String({ description: 'What was wrong, and what would be right.' }),
  },
  { $id: 'InputError', additionalProperties: false },
);

/** A refusal of KMS. */
export const KmsError = Type.Object(
  {
    code: Type.String({ description: "KMS's error, such as MalformedPolicyDocumentException." }),
    message: Type.String({ description: "KMS's own words." }),
    operation: nullable(Type.String({ description: 'The KMS operation that was refused.' })),
  },
  { $id: 'KmsError', additionalProperties: false },
);

/** RFC 9457. */
export const Problem = Type.Object(
  {
    type: Type.String({ format: 'uri-reference', description: 'The kind of problem; a page that explains it.' }),
    title: Type.String(),
    status: Type.Integer(),
    detail: Type.String(),
    instance: Type.String({ description: 'The path that was asked for.' }),
    request_id: Type.String(),
    errors: Type.Optional(Type.Array(ref(InputError))),
    id: Type.Optional(Type.String({ description: 'The key that the problem is about.' })),
    kms_error: Type.Optional(ref(KmsError)),
  },
  { $id: 'Problem', additionalProperties: false, description: 'RFC 9457 problem details.' },
);

const Health = Type.Object(
  {
    status: Type.Literal('ok'),
    held: Type.Optional(Type.Boolean({ description: 'Whether some keys are held after a gap: see Recovery.' })),
    reason: Type.Optional(nullable(Type.String({ description: 'Why they are.' }))),
  },
  { $id: 'Health', additionalProperties: false },
);

/** The answers that any operation can give beside its own. */
export function problems(...statuses: number[]) {
  const descriptions: Record<number, string> = {
    400: 'Malformed request.',
    404: 'There is no such resource.',
    409: 'The request conflicts with the state of the key.',
    412: 'If-Match names a generation that is no longer the current one.',
    413: 'The body is too large.',
    415: 'The body is of a media type that is not taken here.',
    422: 'The input breaks a rule, or KMS refused it. Nothing was changed.',
    500: 'An error in Keyward.',
    503: 'Postgres or KMS is away, and nothing was recorded.',
  };
  const entries = [...statuses, 400, 500, 503].map((status) => [
    status,
    problemAnswer(descriptions[status] ?? 'Error.'),
  ]);
  return Object.fromEntries(entries) as Record<number, TSchema>;
}

/** An answer that is a problem. */
export function problemAnswer(description: string) {
  return { description, content: { 'application/problem+json': { schema: ref(Problem) } } };
}

export const sharedSchemas = [Tags, Policy, InputError, KmsError, Problem, Health];

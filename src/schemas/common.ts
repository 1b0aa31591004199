/** Building blocks of the HTTP contract. */
import { type Static, type TSchema, Type } from 'typebox';
import { type ViolationCode, violationCodes } from '../domain/values.ts';

/** A string out of a set, as client generators like to read it. */
export function stringEnum<const Values extends readonly string[]>(values: Values, options: object = {}) {
  return Type.Unsafe<Values[number]>({ type: 'string', enum: [...values], ...options });
}

/** The schema, or null. One that has a name keeps it, for the sake of generated clients. */
export function nullable<Schema extends TSchema>(schema: Schema) {
  const { type, $ref, ...rest } = schema as { type?: string; $ref?: string };
  if ($ref !== undefined) return Type.Unsafe<Static<Schema> | null>({ anyOf: [{ $ref }, { type: 'null' }], ...rest });
  return Type.Unsafe<Static<Schema> | null>({ ...schema, type: [type, 'null'] });
}

/** A reference to a schema by its name, so that it appears once, under that name, in the OpenAPI document. */
export function ref<Schema extends TSchema>(schema: Schema, options: object = {}) {
  const { $id } = schema as { $id?: string };
  if ($id === undefined) throw new Error('Only a schema with an $id can be referred to');
  return Type.Unsafe<Static<Schema>>({ $ref: `${$id}#`, ...options });
}

/** The same, or null. */
export function nullableRef<Schema extends TSchema>(schema: Schema, options: object = {}) {
  return Type.Unsafe<Static<Schema> | null>({ anyOf: [ref(schema), { type: 'null' }], ...options });
}

/**
 * A string out of a set that others extend, AWS above all. It is told in words of an answer, so that the decoder of a generated
 * client takes what comes later; what may be sent has a name and an `enum` (`stringEnum`).
 */
export function openEnum<const Values extends readonly string[]>(values: Values, options: object = {}) {
  return Type.Unsafe<Values[number]>({ type: 'string', 'x-extensible-enum': [...values], ...options });
}

/** A page of a list. */
export function pageOf<Item extends TSchema>(item: Item, $id: string, what: string) {
  return Type.Object(
    {
      items: Type.Array(ref(item), { description: 'The items of this page, in the order of the list.' }),
      next_cursor: nullable(Type.String({ description: '`cursor` of the next page; null: this is the last one.' })),
    },
    { $id, description: `A page of ${what}.` },
  );
}

/** RFC 3339 in UTC, with milliseconds. */
export function timestamp(description: string) {
  return Type.String({ format: 'date-time', description: `${description} RFC 3339, UTC.` });
}

/** Keyward's id of a key. */
export const KeyId = { format: 'uuid', examples: ['01980e6c-7a4b-7c1e-9f00-3b5e8d1c2a10'] };

/** Parameters whose values come in one text, with commas between them. */
export const commaSeparated: ReadonlySet<string> = new Set(['fields', 'include']);

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
  description:
    'Tag names of 1 to 128 characters and values of up to 256: letters, digits, spaces and `_.:/=+-@`. No name begins with `aws:`, in either case. A key has at most 49, with the default tags of its provider.',
  examples: [{ team: 'payments' }],
});

/** Tags in a PATCH. */
export const TagsPatch = Type.Unsafe<Record<string, string | null>>({
  $id: 'TagsPatch',
  type: 'object',
  additionalProperties: { type: ['string', 'null'] },
  description: 'Merged by name: tags to set; null removes a tag.',
  examples: [{ team: 'payments', env: null }],
});

export const Policy = Type.Unsafe<Record<string, unknown>>({
  $id: 'Policy',
  type: 'object',
  additionalProperties: true,
  description: 'An IAM policy document as a JSON object (not as a string of JSON).',
});

const violationCodeNames = Object.keys(violationCodes) as ViolationCode[];

/** One thing wrong with the input. */
export const InputError = Type.Object(
  {
    pointer: Type.Optional(Type.String({ description: 'RFC 6901 pointer to the field in the body.' })),
    parameter: Type.Optional(Type.String({ description: 'The name of the parameter, in place of a pointer.' })),
    line: Type.Optional(
      Type.Integer({ description: 'Of a body of many lines: the line, from 1 on, in which the pointer points.' }),
    ),
    code: openEnum(violationCodeNames, {
      description: `The kind, for programs. ${violationCodeNames.map((code) => `${code}: ${violationCodes[code]}`).join('; ')}.`,
    }),
    detail: Type.String({ description: 'What was wrong, and what would be right.' }),
  },
  { $id: 'InputError', description: 'One thing that is wrong with the input.' },
);

/** A refusal of KMS. */
export const KmsError = Type.Object(
  {
    code: Type.String({ description: "KMS's error, such as MalformedPolicyDocumentException." }),
    message: Type.String({ description: "KMS's own words." }),
    operation: nullable(Type.String({ description: 'The KMS operation that was refused.' })),
  },
  { $id: 'KmsError', description: 'How KMS refused a call.' },
);

/** RFC 9457. */
export const Problem = Type.Object(
  {
    type: Type.String({
      format: 'uri',
      description:
        'The kind of problem: a page of the service that explains it. Programs go by its path: hosts have several names.',
    }),
    title: Type.String({ description: 'The kind in words.' }),
    status: Type.Integer({ description: 'The HTTP status.' }),
    detail: Type.String({ description: 'What happened, and what to do about it.' }),
    instance: Type.String({ description: 'The path that was asked for.' }),
    request_id: Type.String({ description: 'X-Request-Id; the log, revisions and events have it too.' }),
    errors: Type.Optional(Type.Array(ref(InputError), { description: 'Everything that is wrong with the input.' })),
    id: Type.Optional(Type.String({ ...KeyId, description: 'The key that the problem is about.' })),
    kms_error: Type.Optional(ref(KmsError)),
  },
  { $id: 'Problem', description: 'RFC 9457 problem details.' },
);

const Health = Type.Object(
  {
    status: Type.String({ description: 'ok; anything else is a problem.' }),
    held: Type.Optional(Type.Boolean({ description: 'Whether some keys are held after a gap: see Recovery.' })),
    reason: Type.Optional(nullable(Type.String({ description: 'Why they are.' }))),
  },
  { $id: 'Health', description: 'Whether the service is well.' },
);

/** The answers that any operation can give beside its own; plugins/openapi.ts has the words for each status. */
export function problems(...statuses: number[]) {
  const entries = [...statuses, 400, 500, 503].map((status) => [status, problemAnswer(`${status}.`)]);
  return Object.fromEntries(entries) as Record<number, TSchema>;
}

/** An answer that is a problem. */
export function problemAnswer(description: string) {
  return { description, content: { 'application/problem+json': { schema: ref(Problem) } } };
}

export const sharedSchemas = [Tags, TagsPatch, Policy, InputError, KmsError, Problem, Health];

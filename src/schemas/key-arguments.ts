/** The arguments of a key as bodies and answers have them, each with its limits. */
import { type TOptional, type TSchema, Type } from 'typebox';
import { type ArgumentName, argumentTable, type DeclaredKey } from '../domain/arguments.ts';
import { keySpecs, keyUsages } from '../domain/key-specs.ts';
import { nullable, openEnum, Policy, ref, stringEnum, Tags } from './common.ts';

export const driftPolicies = ['enforce', 'report', 'adopt'] as const;

/** Each set has a name of its own: a generated client then has one type for each. */
export const KeyUsage = stringEnum(keyUsages, {
  $id: 'KeyUsage',
  description: 'What a key is for: the KeyUsage of KMS. Answers may have others, when AWS adds some.',
});
export const KeySpec = stringEnum(keySpecs, {
  $id: 'KeySpec',
  description: 'The kind of key material: the KeySpec of KMS. Answers may have others, when AWS adds some.',
});
export const DriftPolicy = stringEnum(driftPolicies, {
  $id: 'DriftPolicy',
  description: 'What to do about drift: put it right, report it, or declare what was found.',
});
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

const aliasesText =
  'The names that point at the key in KMS: exactly these, in whatever order; none begins with alias/aws/. null: not managed.';

/** The arguments with their limits, in the order in which they are shown. Which rules hold between them is `domain/key-rules`. */
const argument = {
  description: Type.String({ maxLength: 8192, ...about('description', 'What the key is for, in words.') }),
  key_usage: ref(KeyUsage, about('key_usage', 'What the key is for.')),
  customer_master_key_spec: ref(KeySpec, about('customer_master_key_spec', 'The kind of key material.')),
  custom_key_store_id: Type.String({
    minLength: 1,
    maxLength: 22,
    ...about('custom_key_store_id', 'The custom key store that holds the key material.'),
  }),
  xks_key_id: Type.String({
    minLength: 1,
    maxLength: 128,
    ...about('xks_key_id', 'The key in an external key store. Needs custom_key_store_id.'),
  }),
  multi_region: Type.Boolean(about('multi_region', 'Whether it is a multi-Region key.')),
  policy: ref(Policy, about('policy', policyText)),
  bypass_policy_lockout_safety_check: Type.Boolean(
    about('bypass_policy_lockout_safety_check', 'Let KMS take a policy that locks the caller out.'),
  ),
  deletion_window_in_days: Type.Integer({
    minimum: 7,
    maximum: 30,
    ...about('deletion_window_in_days', 'How long a deletion can be taken back.'),
  }),
  is_enabled: Type.Boolean(about('is_enabled', 'Whether the key can be used.')),
  enable_key_rotation: Type.Boolean(about('enable_key_rotation', 'Whether KMS rotates the key material by itself.')),
  rotation_period_in_days: Type.Integer({
    minimum: 90,
    maximum: 2560,
    ...about(
      'rotation_period_in_days',
      "How often it is rotated. Needs enable_key_rotation; KMS's 365 where none is declared.",
    ),
  }),
  aliases: Type.Array(
    Type.String({ maxLength: 256, pattern: '^alias/[a-zA-Z0-9/_-]{1,250}$', examples: ['alias/payments'] }),
    {
      maxItems: 50,
      uniqueItems: true,
      ...about('aliases', aliasesText),
      examples: [['alias/a'], ['alias/b', 'alias/c']],
    },
  ),
  tags: ref(Tags, about('tags', 'Names and values; those of the provider are in tags_all.')),
  drift_policy: ref(DriftPolicy, about('drift_policy', 'What to do about drift.')),
  deletion_protection: Type.Boolean(about('deletion_protection', 'While true, DELETE is refused.')),
} satisfies Record<ArgumentName, TSchema>;

export const providerLimits = { minLength: 1, maxLength: 64 };
export const provider = Type.String({ ...providerLimits, description: 'Account and Region.' });
export const givenProvider = Type.String({ ...providerLimits, description: 'Account and Region. Default: "default".' });

type Arguments = typeof argument;
type OrNull<Schema extends TSchema> = ReturnType<typeof nullable<Schema>>;

/** What a body may have. null stands for the default. */
export const given = mapped((name, schema) => {
  const { description } = schema as { description?: string };
  const words = [...(description === undefined ? [] : [description]), ...defaultOf(name)];
  return Type.Optional(nullable({ ...schema, ...(words.length === 0 ? {} : { description: words.join(' ') }) }));
}) as {
  [Name in ArgumentName]: TOptional<OrNull<Arguments[Name]>>;
};

/** What an answer has. A set of values has a name of its own there. */
export const shown = {
  ...(mapped((name, schema) => (argumentTable[name].default === null ? nullable(schema) : schema)) as {
    [Name in ArgumentName]: null extends DeclaredKey[Name] ? OrNull<Arguments[Name]> : Arguments[Name];
  }),
  key_usage: openEnum(keyUsages, about('key_usage', 'What the key is for.')),
  customer_master_key_spec: openEnum(keySpecs, about('customer_master_key_spec', 'The kind of key material.')),
};

function mapped(map: (name: ArgumentName, schema: TSchema) => TSchema): Record<string, TSchema> {
  const entries = Object.entries(argument) as [ArgumentName, TSchema][];
  return Object.fromEntries(entries.map(([name, schema]) => [name, map(name, schema)]));
}

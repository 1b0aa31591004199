/** The provider: an account and Region as Terraform's provider block has them. */
import { type Static, Type } from 'typebox';
import { longestRegion, regionPattern } from '../domain/regions.ts';
import { type ProviderQuotas as ProviderQuotasSetting, standardQuotas } from '../domain/request-quotas.ts';
import { nullable, nullableRef, page, pageOf, ref, stringEnum, Tags, TagsPatch, timestamp } from './common.ts';
import { DriftPolicy } from './key-arguments.ts';

export const providerName = /^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$/;

/** The same as in every path and body that names one. */
const name = Type.String({
  pattern: providerName.source,
  description: '1 to 64 letters, digits and _ . -, a letter or digit first.',
  examples: ['payments-prod'],
});
const region = Type.String({
  maxLength: longestRegion,
  pattern: regionPattern,
  description: "An AWS Region, such as eu-west-1. It can't be changed while the provider has keys.",
  examples: ['eu-west-1'],
});
const endpoint = Type.String({
  pattern: '^https?://[^\\s/?#]+/?$',
  maxLength: 2048,
  description: 'The URL of another endpoint; null: the one that the service is configured with.',
});
const tagNames = (description: string) =>
  Type.Array(Type.String({ minLength: 1, maxLength: 128 }), { maxItems: 200, description });
const assumeRole = {
  role_arn: Type.String({
    pattern: '^arn:aws[a-z-]*:iam::\\d{12}:role/([\\w+=,.@/-]{0,447}/)?[\\w+=,.@-]{1,64}$',
    description: 'The role to assume.',
    examples: ['arn:aws:iam::111122223333:role/keyward'],
  }),
  external_id: Type.String({
    pattern: '^[\\w+=,.@:/-]{2,1224}$',
    description: 'What the role asks for as external id.',
  }),
  session_name: Type.String({ pattern: '^[\\w+=,.@-]{2,64}$', description: 'null: keyward.' }),
};
const accountIds = Type.Array(Type.String({ pattern: '^\\d{12}$' }), {
  maxItems: 100,
  description: 'Accounts that the credentials may be of; checked before the first write. Empty: any.',
});
const interval = Type.Integer({
  minimum: 1,
  maximum: 604_800,
  description: 'How often each key is observed, give or take a tenth.',
});

const perSecond = (operation: string) =>
  Type.Number({ minimum: 0.01, maximum: 100_000, description: `Calls of ${operation} in a second.` });
const ratesMeaning = "By operation: the KMS's quota, of which QUOTA_SHARE is spent. The others are by the endpoint.";
const RequestRatesInput = Type.Object(
  Object.fromEntries(Object.keys(standardQuotas).map((operation) => [operation, Type.Optional(perSecond(operation))])),
  {
    $id: 'RequestRatesInput',
    additionalProperties: false,
    description: ratesMeaning,
    examples: [{ CreateKey: 20, TagResource: 50 }],
  },
);
const RequestRates = Type.Unsafe<Static<typeof RequestRatesInput>>({
  $id: 'RequestRates',
  type: 'object',
  additionalProperties: { type: 'number' },
  description: ratesMeaning,
});
const settleSeconds = Type.Integer({
  minimum: 0,
  maximum: 3600,
  description: "How long this KMS's answers may be older than a write; null: SETTLE_SECONDS.",
});

export const ProviderQuotas = Type.Object(
  { requests_per_second: ref(RequestRates), settle_seconds: nullable(settleSeconds) },
  {
    $id: 'ProviderQuotas',
    description: "A KMS's own request quotas, and how stale its answers are.",
  },
);

/** The rules that have a name. */
export const QuotaRule = stringEnum(['aws', 'none'], {
  $id: 'QuotaRule',
  description: "aws: AWS's request quotas; none: none.",
});

const quotasMeaning =
  "The request quotas that calls are held to. aws: AWS's; none: none, and answers that are not stale but at AWS; null: by the endpoint, which is AWS's at AWS and none elsewhere.";
const Quotas = Type.Unsafe<ProviderQuotasSetting>({
  $id: 'Quotas',
  anyOf: [ref(QuotaRule), ref(ProviderQuotas)],
  description: 'The rule that has a name, or rates.',
});
const ProviderQuotasInput = Type.Object(
  {
    requests_per_second: Type.Optional(nullableRef(RequestRatesInput, { description: ratesMeaning })),
    settle_seconds: Type.Optional(nullable(settleSeconds)),
  },
  {
    $id: 'ProviderQuotasInput',
    additionalProperties: false,
    description: "A KMS's own request quotas, and how stale its answers are.",
  },
);
const QuotasInput = Type.Unsafe<'aws' | 'none' | Partial<Static<typeof ProviderQuotas>>>({
  $id: 'QuotasInput',
  anyOf: [ref(QuotaRule), ref(ProviderQuotasInput)],
  description: 'The rule that has a name, or rates.',
  examples: ['none', { requests_per_second: { CreateKey: 20 } }],
});

export const AssumeRole = Type.Object(
  {
    role_arn: assumeRole.role_arn,
    session_name: nullable(assumeRole.session_name),
  },
  { $id: 'AssumeRole', description: "Terraform's assume_role, without external_id, which is written only." },
);

export const IgnoreTags = Type.Object(
  {
    keys: tagNames('Names of tags.'),
    key_prefixes: tagNames('What names of tags begin with.'),
  },
  {
    $id: 'IgnoreTags',
    description: "Terraform's ignore_tags: tags that are left to other systems, neither set nor removed nor drift.",
  },
);

const optional = {
  endpoint: Type.Optional(nullable(endpoint)),
  allowed_account_ids: Type.Optional(nullable(accountIds)),
  drift_policy: Type.Optional(
    nullableRef(DriftPolicy, { description: 'Of new keys that don\'t say. Default: "enforce".' }),
  ),
  refresh_interval_seconds: Type.Optional(nullable(interval)),
  quotas: Type.Optional(nullableRef(QuotasInput, { description: quotasMeaning })),
};
export const AssumeRoleInput = Type.Object(
  {
    role_arn: assumeRole.role_arn,
    external_id: Type.Optional(nullable(assumeRole.external_id)),
    session_name: Type.Optional(nullable(assumeRole.session_name)),
  },
  {
    $id: 'AssumeRoleInput',
    additionalProperties: false,
    description:
      "Terraform's assume_role, one value. A PATCH that leaves external_id out while the provider has one is refused.",
  },
);
export const IgnoreTagsInput = Type.Object(
  {
    keys: Type.Optional(nullable(IgnoreTags.properties.keys)),
    key_prefixes: Type.Optional(nullable(IgnoreTags.properties.key_prefixes)),
  },
  { $id: 'IgnoreTagsInput', additionalProperties: false, description: "Terraform's ignore_tags, one value." },
);
const assumeRoleInput = Type.Optional(nullableRef(AssumeRoleInput, { description: 'The role to assume; null: none.' }));
const ignoreTagsInput = Type.Optional(
  nullableRef(IgnoreTagsInput, { description: 'Tags that are left to other systems; null: none.' }),
);
/** The body of POST /providers. null stands for the default. */
export const ProviderCreate = Type.Object(
  {
    name,
    region,
    ...optional,
    assume_role: assumeRoleInput,
    default_tags: Type.Optional(nullableRef(Tags, { description: "Tags of all keys; a key's own win." })),
    ignore_tags: ignoreTagsInput,
  },
  {
    $id: 'ProviderCreate',
    additionalProperties: false,
    description: 'A provider to create. null stands for the default.',
  },
);

/** The body of PATCH: a JSON Merge Patch (RFC 7396) in which each field is one value, and default_tags alone merge. */
export const ProviderPatch = Type.Object(
  {
    region: Type.Optional(region),
    ...optional,
    assume_role: assumeRoleInput,
    default_tags: Type.Optional(nullableRef(TagsPatch, { description: 'Merged by name; null removes all.' })),
    ignore_tags: ignoreTagsInput,
  },
  {
    $id: 'ProviderPatch',
    additionalProperties: false,
    description:
      'JSON Merge Patch (RFC 7396): null restores a default. Each field is one value and is replaced whole, assume_role and ignore_tags too; default_tags alone merge, by name.',
  },
);

export const ProviderProgress = Type.Object(
  {
    keys_total: Type.Integer({ description: 'Keys that are managed.' }),
    keys_in_sync: Type.Integer({ description: 'Those that KMS holds as declared, as far as is known.' }),
    keys_pending: Type.Integer({ description: 'Those that a change of the tags of the provider has not reached yet.' }),
    started_at: nullable(timestamp('When the last change of the tags began.')),
    expected_until: nullable(timestamp('When it will have reached all keys, by the request quotas.')),
  },
  { $id: 'ProviderProgress', description: 'How far a change of the settings has come.' },
);

export const Provider = Type.Object(
  {
    name,
    region,
    endpoint: nullable(endpoint),
    assume_role: nullableRef(AssumeRole, { description: 'The role to assume; null: none.' }),
    allowed_account_ids: accountIds,
    default_tags: ref(Tags),
    ignore_tags: ref(IgnoreTags),
    drift_policy: ref(DriftPolicy),
    refresh_interval_seconds: interval,
    quotas: nullableRef(Quotas, { description: quotasMeaning }),
    progress: ref(ProviderProgress),
    created_at: timestamp('When it was made.'),
    updated_at: timestamp('When its settings last changed.'),
  },
  { $id: 'Provider', description: "An account and Region, and how to get there: Terraform's provider block." },
);

export const ProviderList = pageOf(Provider, 'ProviderList', 'providers');

export const PermissionCheck = Type.Object(
  {
    action: Type.String({ description: 'The action, as policies name it.', examples: ['kms:CreateKey'] }),
    allowed: nullable(
      Type.Boolean({
        description: "null: it can't be told; the policy may allow it for keys that carry the ownership tag only.",
      }),
    ),
    detail: nullable(Type.String({ description: 'What AWS answered.' })),
  },
  { $id: 'PermissionCheck', description: 'Whether an action is allowed.' },
);

const ProviderFault = Type.Object(
  {
    code: Type.String({ description: "AWS's error, or Keyward's own." }),
    message: Type.String({ description: 'What is wrong, in words.' }),
  },
  { $id: 'ProviderFault', description: 'Why a provider can not be used.' },
);

export const ProviderCheck = Type.Object(
  {
    ok: Type.Boolean({
      description: 'The credentials work, the account is right, and no permission is known to lack.',
    }),
    account_id: nullable(Type.String({ description: 'The account of the credentials.' })),
    caller_arn: nullable(Type.String({ description: 'Who they are.' })),
    region,
    error: nullableRef(ProviderFault, { description: 'Why it can not be used; null: it can.' }),
    permissions: Type.Array(ref(PermissionCheck), { description: 'Of each action that Keyward needs.' }),
  },
  { $id: 'ProviderCheck', description: 'Whether a provider can be used.' },
);

export const ProviderListQuery = Type.Object(
  {
    ...page,
  },
  { additionalProperties: false },
);

export const ProviderParams = Type.Object({ name: Type.String({ description: "The provider's name." }) });

export type ProviderCreate = Static<typeof ProviderCreate>;
export type ProviderPatch = Static<typeof ProviderPatch>;
export type Provider = Static<typeof Provider>;
export type ProviderProgress = Static<typeof ProviderProgress>;
export type ProviderCheck = Static<typeof ProviderCheck>;
export type ProviderListQuery = Static<typeof ProviderListQuery>;

export const providerSchemas = [
  AssumeRole,
  AssumeRoleInput,
  IgnoreTags,
  IgnoreTagsInput,
  QuotaRule,
  RequestRates,
  RequestRatesInput,
  ProviderQuotas,
  ProviderQuotasInput,
  Quotas,
  QuotasInput,
  ProviderCreate,
  ProviderPatch,
  ProviderProgress,
  Provider,
  ProviderList,
  PermissionCheck,
  ProviderFault,
  ProviderCheck,
];

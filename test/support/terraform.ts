/**
 * Terraform's side of a configuration: read by HashiCorp's own HCL parser, and planned as its AWS provider would.
 * Source: hashicorp/terraform-provider-aws, `internal/service/kms/key.go`.
 */
import { isDeepStrictEqual } from 'node:util';
import {
  DescribeKeyCommand,
  GetKeyPolicyCommand,
  GetKeyRotationStatusCommand,
  type KMSClient,
  ListResourceTagsCommand,
} from '@aws-sdk/client-kms';
import hcl2 from 'hcl2-parser';
import { policiesEqual } from '../../src/domain/policy-equivalence.ts';
import type { Json, PolicyDocument, Tags } from '../../src/domain/types.ts';

type Blocks = Record<string, Json>[];
export type Configuration = {
  provider?: { aws: Blocks };
  resource?: { aws_kms_key: Record<string, Blocks> };
  import?: { to: string; id: string }[];
  variable?: Record<string, Blocks>;
};

/** What a text says as HCL. @throws where it is none. */
export function readHcl(text: string): Configuration {
  const [configuration, error] = (hcl2.parseToObject as (text: string) => [Configuration, unknown])(text);
  if (configuration === null || error !== null) throw new Error(`This is no HCL: ${JSON.stringify(error)}\n${text}`);
  return configuration;
}

/** The value that an expression `jsonencode(…)` has. */
export function decoded(expression: Json): Json {
  const inner = /^\$\{jsonencode\((.*)\)\}$/s.exec(String(expression))?.[1];
  if (inner === undefined) throw new Error(`This is no jsonencode: ${JSON.stringify(expression)}`);
  return (readHcl(`value = ${inner}\n`) as { value?: Json }).value ?? null;
}

/** A key's resource, with the provider that it names. */
export function resourceOf(configuration: Configuration, keyId: string) {
  const { to = '' } = configuration.import?.find(({ id }) => id === keyId) ?? {};
  const name = to.replace(/^\$\{aws_kms_key\.(.*)\}$/, '$1');
  const [resource = {}] = configuration.resource?.aws_kms_key[name] ?? [];
  const alias = String(resource['provider']).replace(/^\$\{aws\.(.*)\}$/, '$1');
  const provider = configuration.provider?.aws.find((one) => one['alias'] === alias) ?? {};
  return { name, resource, provider };
}

const defaults: Record<string, Json> = {
  customer_master_key_spec: 'SYMMETRIC_DEFAULT',
  enable_key_rotation: false,
  is_enabled: true,
  key_usage: 'ENCRYPT_DECRYPT',
};
/** What stays as it was read where the configuration has no word of it. An empty text is none. */
const computed = ['description', 'multi_region', 'policy', 'rotation_period_in_days'];
const optional = ['custom_key_store_id', 'xks_key_id'];

/**
 * What a plan would find of an imported key, among what the provider reads.
 * @returns by argument, as it is and as it is to be; empty: nothing to change.
 */
export async function planned(kms: KMSClient, keyId: string, configuration: Configuration) {
  const { resource, provider } = resourceOf(configuration, keyId);
  const [{ tags: defaultTags = {} } = {}] = (provider['default_tags'] ?? []) as { tags?: Tags }[];
  const [{ keys = [], key_prefixes: prefixes = [] } = {}] = (provider['ignore_tags'] ?? []) as {
    keys?: string[];
    key_prefixes?: string[];
  }[];
  const isIgnored = (name: string) => keys.includes(name) || prefixes.some((one) => name.startsWith(one));
  const state = await readByProvider(kms, keyId, defaultTags, isIgnored);
  const wanted: Record<string, Json> = {};
  for (const [name, standard] of Object.entries(defaults)) wanted[name] = resource[name] ?? standard;
  for (const name of optional) wanted[name] = resource[name] ?? null;
  for (const name of computed) wanted[name] = resource[name] ?? state[name] ?? null;
  if (resource['policy'] !== undefined) {
    const policy = decoded(resource['policy']) as PolicyDocument;
    wanted['policy'] = policiesEqual(policy, state['policy'] as PolicyDocument, 'aws')
      ? (state['policy'] ?? null)
      : policy;
  }
  wanted['tags'] = resource['tags'] ?? {};
  wanted['tags_all'] = { ...defaultTags, ...(wanted['tags'] as Tags) };
  const names = Object.keys(wanted).filter(
    (name) => !isDeepStrictEqual(normalized(wanted[name]), normalized(state[name])),
  );
  return Object.fromEntries(names.map((name) => [name, { is: state[name], wanted: wanted[name] }]));
}

/** Terraform has its texts in this form. */
function normalized(value: unknown): unknown {
  return JSON.parse(JSON.stringify(value ?? null).normalize('NFC'));
}

async function readByProvider(
  kms: KMSClient,
  KeyId: string,
  defaultTags: Tags,
  isIgnored: (name: string) => boolean,
): Promise<Record<string, Json>> {
  const { KeyMetadata: key } = await kms.send(new DescribeKeyCommand({ KeyId }));
  const { Policy = '{}' } = await kms.send(new GetKeyPolicyCommand({ KeyId, PolicyName: 'default' }));
  const rotation = // AWS says of others that they do not rotate, where the local KMS refuses.
    key?.Origin === 'AWS_KMS' && key.KeySpec === 'SYMMETRIC_DEFAULT'
      ? await kms.send(new GetKeyRotationStatusCommand({ KeyId }))
      : undefined;
  const { Tags = [] } = await kms.send(new ListResourceTagsCommand({ KeyId }));
  const all = Tags.map(({ TagKey = '', TagValue = '' }): [string, string] => [TagKey, TagValue]).filter(
    ([name]) => !name.startsWith('aws:') && !isIgnored(name),
  );
  return {
    description: key?.Description ?? null,
    key_usage: key?.KeyUsage ?? null,
    customer_master_key_spec: key?.KeySpec ?? null,
    custom_key_store_id: key?.CustomKeyStoreId ?? null,
    xks_key_id: key?.XksKeyConfiguration?.Id ?? null,
    multi_region: key?.MultiRegion ?? null,
    is_enabled: key?.Enabled ?? null,
    enable_key_rotation: rotation?.KeyRotationEnabled ?? false,
    rotation_period_in_days: rotation?.RotationPeriodInDays ?? null,
    policy: JSON.parse(Policy),
    tags: Object.fromEntries(all.filter(([name, value]) => defaultTags[name] !== value)),
    tags_all: Object.fromEntries(all),
  };
}

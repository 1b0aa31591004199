/**
 * A configuration that Terraform takes keys over with: `import` blocks, and resources that a plan finds as they are in KMS.
 * Source: hashicorp/terraform-provider-aws, `internal/service/kms/key.go`, for defaults and for what it reads.
 */
import { aliasesOf } from '../aliases.ts';
import { type DeclaredKey, type ObservedKey, toldArguments } from '../arguments.ts';
import type { ProviderSettings } from '../provider.ts';
import { isIgnored, type TagSettings } from '../tags.ts';
import type { DesiredKey, PolicyDocument, Tags } from '../types.ts';
import { type Attribute, type Block, blockOf, commentOf, Encoded, Expression, type Value } from './hcl.ts';

/** A key that KMS has. `desired`: what Keyward holds it to. */
export type ExportedKey = {
  id: string;
  declared: DeclaredKey;
  desired: DesiredKey;
  observed: ObservedKey;
  /** The fields in which KMS differs. */
  drift: string[];
};

/** Where its resource goes. `settings`: of the provider; null: they are not to be shown. */
export type Place = { alias: string; settings: TagSettings | null };

/** What comes first. */
export const head =
  commentOf(
    [
      'Keys of Keyward as aws_kms_key, for Terraform 1.5 or OpenTofu 1.6, and newer. A plan imports them and finds nothing to',
      'change. Release a key from Keyward (POST /v1/keys/release) before it is changed here.',
    ].join('\n'),
  ) +
  blockOf({
    type: 'terraform',
    attributes: [['required_version', '>= 1.5']],
    blocks: [{ type: 'required_providers', attributes: [['aws', { source: 'hashicorp/aws', version: '>= 6.0' }]] }],
  });

/**
 * A provider's block, with a variable for what Keyward keeps to itself.
 * @param isAws whether its keys are in AWS itself.
 */
export function providerBlocks(
  alias: string,
  { settings, ownershipTagName, isAws }: { settings: ProviderSettings; ownershipTagName: string; isAws: boolean },
): string {
  const { region, allowed_account_ids: accounts, endpoint, assume_role: role } = settings;
  const secret = `${alias}_external_id`;
  const hasSecret = role !== null && role.external_id !== null;
  const attributes: Attribute[] = [
    ['alias', alias],
    ['region', region],
    ...(accounts.length > 0 ? [['allowed_account_ids', accounts] as Attribute] : []),
  ];
  const blocks: Block[] = [
    ...(endpoint === null ? [] : [{ type: 'endpoints', attributes: endpointsAt(endpoint) }]),
    ...(role === null ? [] : [assumeRole(role, hasSecret ? secret : null)]),
    ...tagBlocks(settings, ownershipTagName),
  ];
  const elsewhere =
    'Keyward is configured with another KMS than AWS (KMS_ENDPOINT): name it here, in endpoints { kms = … }.';
  return [
    hasSecret ? blockOf(variable(secret)) : '',
    isAws || endpoint !== null ? '' : commentOf(elsewhere),
    blockOf({ type: 'provider', labels: ['aws'], attributes, blocks }),
  ].join('');
}

/** The block of a provider whose settings are not to be shown: its keys have all of their tags themselves. */
export function bareProviderBlock(alias: string, region: string, ownershipTagName: string): string {
  const comment = commentOf('Its role, accounts and tags are for those who may read providers.');
  const attributes: Attribute[] = [
    ['alias', alias],
    ['region', region],
  ];
  const blocks = tagBlocks({ default_tags: {}, ignore_tags: { keys: [], key_prefixes: [] } }, ownershipTagName);
  return comment + blockOf({ type: 'provider', labels: ['aws'], attributes, blocks });
}

function endpointsAt(endpoint: string): Attribute[] {
  return [
    ['kms', endpoint],
    ['sts', endpoint],
  ];
}

function assumeRole(role: NonNullable<ProviderSettings['assume_role']>, secret: string | null): Block {
  return {
    type: 'assume_role',
    attributes: [
      ['role_arn', role.role_arn],
      ...(role.session_name === null ? [] : [['session_name', role.session_name] as Attribute]),
      ...(secret === null ? [] : [['external_id', new Expression(`var.${secret}`)] as Attribute]),
    ],
  };
}

function variable(name: string): Block {
  return {
    type: 'variable',
    labels: [name],
    attributes: [
      ['description', 'The external id that the role asks for. Keyward never shows it.'],
      ['type', new Expression('string')],
      ['sensitive', true],
    ],
  };
}

/** The ownership tag is Keyward's affair: a plan would take it away. */
function tagBlocks({ default_tags, ignore_tags }: TagSettings, ownershipTagName: string): Block[] {
  const { keys, key_prefixes: prefixes } = ignore_tags;
  const defaultTags: Block = { type: 'default_tags', attributes: [['tags', default_tags]] };
  return [
    ...(Object.keys(default_tags).length === 0 ? [] : [defaultTags]),
    {
      type: 'ignore_tags',
      attributes: [
        ['keys', [...new Set([...keys, ownershipTagName])]],
        ...(prefixes.length === 0 ? [] : [['key_prefixes', prefixes] as Attribute]),
      ],
    },
  ];
}

/** A key's import and resource. */
export function keyBlocks(key: ExportedKey, name: string, { alias, settings }: Place): string {
  const type = typeOf(key);
  const address = new Expression(`${type}.${name}`);
  const differing = key.drift.join(', ');
  const importing: Block = {
    type: 'import',
    attributes: [
      ['to', address],
      ['id', key.observed.key_id],
    ],
  };
  const resource: Block = {
    type: 'resource',
    labels: [type, name],
    attributes: [['provider', new Expression(`aws.${alias}`)], ...argumentsOf(key, settings)],
    blocks: key.declared.deletion_protection ? [{ type: 'lifecycle', attributes: [['prevent_destroy', true]] }] : [],
  };
  const drift = differing === '' ? '' : commentOf(`KMS differs in ${differing}: a plan puts that right.`);
  return blockOf(importing) + drift + blockOf(resource) + aliasBlocks(key, name, alias);
}

function isReplica({ observed: { arn, primary_arn } }: ExportedKey): boolean {
  return primary_arn !== null && primary_arn !== arn;
}

function typeOf(key: ExportedKey): string {
  return isReplica(key) ? 'aws_kms_replica_key' : 'aws_kms_key';
}

/** An alias that KMS does not have on this key yet is made by Terraform. */
function aliasBlocks(key: ExportedKey, keyName: string, alias: string): string {
  const { declared, observed } = key;
  const own = aliasesOf(observed) ?? [];
  return (declared.aliases ?? [])
    .map((name, index) => {
      const label = `${keyName}_${index + 1}`;
      const importing: Attribute[] = [
        ['to', new Expression(`aws_kms_alias.${label}`)],
        ['id', name],
      ];
      const attributes: Attribute[] = [
        ['provider', new Expression(`aws.${alias}`)],
        ['name', name],
        ['target_key_id', new Expression(`${typeOf(key)}.${keyName}.key_id`)],
      ];
      const resource = blockOf({ type: 'resource', labels: ['aws_kms_alias', label], attributes });
      return (own.includes(name) ? blockOf({ type: 'import', attributes: importing }) : '') + resource;
    })
    .join('');
}

/** Those that are not at Terraform's default. The policy is left out where Keyward leaves it alone, as Terraform does then. */
function argumentsOf(key: ExportedKey, settings: TagSettings | null): Attribute[] {
  const { declared, desired } = key;
  const policy = policyOf(key);
  const tags = settings === null ? desired.tags_all : tagsOf(declared.tags, settings);
  const values: Record<string, Value | undefined> = {
    description: declared.description === '' ? undefined : declared.description,
    key_usage: unless(declared.key_usage, 'ENCRYPT_DECRYPT'),
    customer_master_key_spec: unless(declared.customer_master_key_spec, 'SYMMETRIC_DEFAULT'),
    custom_key_store_id: declared.custom_key_store_id ?? undefined,
    xks_key_id: declared.xks_key_id ?? undefined,
    multi_region: unless(declared.multi_region, false),
    is_enabled: unless(declared.is_enabled, true),
    enable_key_rotation: unless(declared.enable_key_rotation, false),
    rotation_period_in_days: declared.rotation_period_in_days ?? undefined,
    // What KMS takes where none is said. It is in no answer of KMS: a plan would tell of every other one.
    deletion_window_in_days: unless(declared.deletion_window_in_days, 30),
    bypass_policy_lockout_safety_check: unless(declared.bypass_policy_lockout_safety_check, false),
    policy: policy === null ? undefined : new Encoded(policy),
    tags: Object.keys(tags).length === 0 ? undefined : tags,
  };
  const shown = isReplica(key) ? ofReplica(values, key) : values;
  return Object.entries(shown).flatMap(([name, value]) => (value === undefined ? [] : [[name, value]]));
}

/** What `aws_kms_replica_key` takes. Source: the page of that resource in the documentation of the AWS provider. */
function ofReplica(values: Record<string, Value | undefined>, { observed }: ExportedKey): typeof values {
  const { description, deletion_window_in_days, bypass_policy_lockout_safety_check, policy, tags } = values;
  const own = { description, deletion_window_in_days, bypass_policy_lockout_safety_check, policy, tags };
  return { primary_key_arn: observed.primary_arn ?? undefined, enabled: values['is_enabled'], ...own };
}

function unless<Value>(value: Value, standard: Value): Value | undefined {
  return value === standard ? undefined : value;
}

/** As KMS has it, where that means what is declared: Terraform takes less for the same than Keyward does. */
function policyOf({ declared, desired, observed }: ExportedKey): PolicyDocument | null {
  if (declared.policy === null || observed.policy === null) return declared.policy;
  const isHeld = toldArguments.policy.isHeld?.(declared.policy, observed.policy, observed, desired);
  return isHeld ? observed.policy : declared.policy;
}

/** Ignored ones are not set; of what the default tags have too, Terraform's own state has no word. */
function tagsOf(tags: Tags, { default_tags, ignore_tags }: TagSettings): Tags {
  const isDefault = (name: string, value: string) => Object.hasOwn(default_tags, name) && default_tags[name] === value;
  return Object.fromEntries(
    Object.entries(tags).filter(([name, value]) => !isIgnored(name, ignore_tags) && !isDefault(name, value)),
  );
}

/**
 * What each operation needs, asked of the policies of a registered role and of the keys it is about. Callers of which no
 * policies are known are not asked about. Source: KMS developer guide, "AWS KMS permissions", "Controlling access to
 * aliases" and "Create multi-Region primary keys"; API reference, "Required permissions" of each operation.
 */
import { partitionIn } from '../../domain/regions.ts';
import { refusalOf } from './access.ts';
import type { Context } from './context.ts';
import { KmsError } from './errors.ts';
import { readGrantToken } from './grants.ts';
import type { Policy } from './identities.ts';
import { aliasArn, arnNamed, arnOf, findNamedKey } from './keys.ts';
import type { Parameters } from './parameters.ts';
import type { StoredKey } from './store.ts';

type Values = Record<string, string | string[] | undefined>;

/** One permission that an operation needs. */
type Need = {
  action: string;
  /** null: the action has none, and `*` stands for it. */
  resource: string | null;
  /** The key's policy, where the resource is a key. */
  policy?: Policy;
  values: Values;
  /** Whether AWS's words leave out that there is no resource. */
  unnamed?: boolean;
};

const mostAliases = 50;

/** Operations about no key: the resource of their action is `*`. */
const withoutKey =
  /^(ListKeys|ListAliases|ListRetirableGrants|GenerateRandom|(Create|Describe|Update|Delete|Connect|Disconnect)CustomKeyStores?|GetResources)$/;

/**
 * Allows a call, or not.
 * @throws KmsError AccessDeniedException
 */
export function authorize(context: Context, operation: string, parameters: Parameters): void {
  const { caller, store } = context;
  const identity = caller.roleArn === null ? undefined : store.identities.findRole(caller.roleArn)?.policies;
  if (identity === undefined) return;
  for (const { action, resource, policy, values, unnamed } of needsOf(context, operation, parameters)) {
    const all: Values = { ...valuesOfCaller(context), ...values };
    const request = { action, resource: resource ?? '*', context: conditionValues(all) };
    const refusal = refusalOf(caller, request, { identity, resource: policy });
    if (refusal === null) continue;
    const place = unnamed ? '' : ` on resource: ${resource ?? '*'}`;
    const reason = refusal.startsWith('because') ? `${refusal} the ${action} action` : refusal;
    const message = `User: ${caller.arn} is not authorized to perform: ${action}${place} ${reason}`;
    throw new KmsError('AccessDeniedException', message);
  }
}

function needsOf(context: Context, operation: string, parameters: Parameters): Need[] {
  const { caller } = context;
  switch (operation) {
    case 'AssumeRole':
    case 'GetCallerIdentity':
      // The trust of the role has a part in the one; the other needs no permission.
      return [];
    case 'GetResources':
      return [{ action: 'tag:GetResources', resource: null, values: {}, unnamed: true }];
    case 'CreateKey':
      return needsOfCreation(context, parameters, valuesOfNewKey(parameters));
    case 'RetireGrant':
      return onKey(context, 'kms:RetireGrant', parameters['KeyId'] ?? keyOfToken(parameters));
    case 'ReplicateKey':
      return needsOfReplication(context, parameters);
    case 'UpdatePrimaryRegion': {
      const values = { 'kms:PrimaryRegion': String(parameters['PrimaryRegion']) };
      return onKey(context, 'kms:UpdatePrimaryRegion', parameters['KeyId'], values);
    }
    case 'CreateAlias':
    case 'UpdateAlias':
    case 'DeleteAlias': {
      const alias = String(parameters['AliasName']);
      const action = `kms:${operation}`;
      const keys = operation === 'CreateAlias' ? [parameters['TargetKeyId']] : [alias, parameters['TargetKeyId']];
      const onAlias = { action, resource: aliasArn(caller, alias), values: {} };
      return [onAlias, ...keys.flatMap((key) => onKey(context, action, key))];
    }
    default: {
      const action = `kms:${operation}`;
      if (withoutKey.test(operation)) return [{ action, resource: null, values: {} }];
      return onKey(context, action, parameters['KeyId'], valuesOfRequest(parameters));
    }
  }
}

function needsOfCreation({ caller }: Context, parameters: Parameters, values: Values): Need[] {
  const all = { ...values, ...valuesOfRequest(parameters) };
  const hasTags = tagsIn(parameters).length > 0;
  const role = 'AWSServiceRoleForKeyManagementServiceMultiRegionKeys';
  return [
    { action: 'kms:CreateKey', resource: null, values: all },
    ...(hasTags ? [{ action: 'kms:TagResource', resource: null, values: all, unnamed: true }] : []),
    ...(parameters['MultiRegion'] === true
      ? [
          {
            action: 'iam:CreateServiceLinkedRole',
            resource: `arn:${partitionIn(caller.arn)}:iam::${caller.account}:role/aws-service-role/mrk.kms.amazonaws.com/${role}`,
            values: { 'iam:AWSServiceName': 'mrk.kms.amazonaws.com' },
          },
        ]
      : []),
  ];
}

function needsOfReplication(context: Context, parameters: Parameters): Need[] {
  const region = String(parameters['ReplicaRegion']);
  const primary = onKey(context, 'kms:ReplicateKey', parameters['KeyId'], { 'kms:ReplicaRegion': region });
  const values = { ...primary[0]?.values, 'aws:RequestedRegion': region, 'kms:MultiRegionKeyType': 'REPLICA' };
  const ofReplica = Object.entries(values).filter(([name]) => !name.startsWith('aws:ResourceTag/'));
  return [...primary, ...needsOfCreation(context, { Tags: parameters['Tags'] }, Object.fromEntries(ofReplica))];
}

/** A key that does not exist is asked about as well, by its ARN alone: AWS tells nobody more than that it may know. */
function onKey(context: Context, action: string, given: unknown, values: Values = {}): Need[] {
  const key = namedKey(context, given);
  const all = {
    ...(key === undefined ? {} : valuesOfKey(context, key)),
    ...values,
    'kms:RequestAlias': aliasIn(given),
  };
  if (key !== undefined) {
    return [{ action, resource: arnOf(key), policy: JSON.parse(key.policy) as Policy, values: all }];
  }
  const resource = arnNamed(context, String(given));
  return resource === undefined ? [] : [{ action, resource, values: all }];
}

function namedKey(context: Context, given: unknown): StoredKey | undefined {
  if (typeof given !== 'string') return undefined;
  try {
    return findNamedKey(context, given, true);
  } catch (error) {
    if (error instanceof KmsError) return undefined;
    throw error;
  }
}

function keyOfToken({ GrantToken: token }: Parameters): string | undefined {
  return typeof token === 'string' ? readGrantToken(token).keyId : undefined;
}

function aliasIn(given: unknown): string | undefined {
  return /(?:^|:)(alias\/.+)$/.exec(String(given))?.[1];
}

function valuesOfCaller({ caller }: Context): Values {
  return {
    'aws:PrincipalAccount': caller.account,
    'aws:PrincipalArn': caller.roleArn ?? caller.arn,
    'aws:RequestedRegion': caller.region,
    'kms:CallerAccount': caller.account,
  };
}

function valuesOfKey({ store }: Context, key: StoredKey): Values {
  const type = key.primaryRegion === key.region ? 'PRIMARY' : 'REPLICA';
  return {
    'kms:KeySpec': key.spec,
    'kms:KeyUsage': key.usage,
    'kms:KeyOrigin': key.origin,
    'kms:MultiRegion': String(key.multiRegion),
    'kms:MultiRegionKeyType': key.primaryRegion === null ? undefined : type,
    'kms:ResourceAliases': store.listAliases(key, key.keyId, '', mostAliases).map(({ name }) => name),
    ...Object.fromEntries(key.tags.map(([name, value]) => [`aws:ResourceTag/${name}`, value])),
  };
}

function valuesOfNewKey(parameters: Parameters): Values {
  const { KeySpec, CustomerMasterKeySpec, KeyUsage, Origin, MultiRegion } = parameters;
  return {
    'kms:KeySpec': String(KeySpec ?? CustomerMasterKeySpec ?? 'SYMMETRIC_DEFAULT'),
    'kms:KeyUsage': String(KeyUsage ?? 'ENCRYPT_DECRYPT'),
    'kms:KeyOrigin': String(Origin ?? 'AWS_KMS'),
    'kms:MultiRegion': String(MultiRegion === true),
    'kms:MultiRegionKeyType': MultiRegion === true ? 'PRIMARY' : undefined,
  };
}

/** What the request itself says: tags that it adds or takes away, and whether it waives the lockout check. */
function valuesOfRequest(parameters: Parameters): Values {
  const tags = tagsIn(parameters);
  const names = [...tags.map(([name]) => name), ...[parameters['TagKeys'] ?? []].flat().map(String)];
  return {
    'kms:BypassPolicyLockoutSafetyCheck': String(parameters['BypassPolicyLockoutSafetyCheck'] === true),
    ...(names.length === 0 ? {} : { 'aws:TagKeys': names }),
    ...Object.fromEntries(tags.map(([name, value]) => [`aws:RequestTag/${name}`, value])),
  };
}

function tagsIn({ Tags }: Parameters): [name: string, value: string][] {
  return [Tags ?? []].flat().map((tag) => {
    const { TagKey, TagValue } = (tag ?? {}) as Record<string, unknown>;
    return [String(TagKey), String(TagValue)];
  });
}

function conditionValues(values: Values): Map<string, string[]> {
  return new Map(
    Object.entries(values).flatMap(([name, value]): [string, string[]][] => {
      const list = value === undefined ? [] : [value].flat();
      return list.length === 0 ? [] : [[name.toLowerCase(), list]];
    }),
  );
}

/** CreateKey, DescribeKey, ListKeys and what changes a key's description and state. */
import { randomBytes, randomUUID } from 'node:crypto';
import { type KeySpec, type KeyUsage, keySpecs, keyUsages, usageFitsSpec } from '../../../domain/key-specs.ts';
import { inSeconds } from '../clock.ts';
import { type Context, emptyAnswer, type Operation } from '../context.ts';
import { invalidState, KmsError, validation } from '../errors.ts';
import { keyMetadata, keyState } from '../key-metadata.ts';
import { arnOf, assertCustomerManaged, findChangeableKey, findKey, isPendingDeletion, keyArn } from '../keys.ts';
import { page } from '../pages.ts';
import {
  optionalBoolean,
  optionalInteger,
  optionalOneOf,
  optionalString,
  type Parameters,
  requiredString,
} from '../parameters.ts';
import { acceptPolicy, defaultPolicy } from '../policy.ts';
import type { StoredKey } from '../store.ts';
import { findAwsManagedKey } from './aws-managed.ts';
import { mergeTags, readTags } from './tags.ts';

const day = 86_400_000;
const origins = ['AWS_KMS', 'EXTERNAL', 'AWS_CLOUDHSM', 'EXTERNAL_KEY_STORE'] as const;

const createKey: Operation = (context, parameters) => {
  const { caller, clock, store } = context;
  const spec = specOf(parameters);
  const usage = usageOf(parameters, spec);
  const origin = optionalOneOf(parameters, 'Origin', origins) ?? 'AWS_KMS';
  assertOriginIsOffered(origin, parameters);
  const multiRegion = optionalBoolean(parameters, 'MultiRegion') ?? false;
  const policy = optionalString(parameters, 'Policy', { min: 1, max: 131_072 });
  const bypass = optionalBoolean(parameters, 'BypassPolicyLockoutSafetyCheck') ?? false;
  const now = clock.now();
  const key: StoredKey = {
    account: caller.account,
    region: caller.region,
    keyId: multiRegion ? `mrk-${randomBytes(16).toString('hex')}` : randomUUID(),
    createdAt: now,
    description: optionalString(parameters, 'Description', { max: 8192 }) ?? '',
    usage,
    spec,
    origin,
    manager: 'CUSTOMER',
    enabled: origin !== 'EXTERNAL',
    deletionAt: null,
    multiRegion,
    primaryRegion: multiRegion ? caller.region : null,
    replicaRegions: [],
    policy: policy === undefined ? defaultPolicy(caller.account) : acceptPolicy(policy, caller, bypass),
    tags: mergeTags([], readTags(parameters)),
    rotation: { enabled: false, periodInDays: 365, since: now },
    rotations: [],
    materialId: randomBytes(32).toString('hex'),
    customKeyStoreId: null,
    xksKeyId: null,
  };
  store.saveKey(key);
  return { KeyMetadata: keyMetadata(key) };
};

function specOf(parameters: Parameters): KeySpec {
  const spec = optionalOneOf(parameters, 'KeySpec', keySpecs);
  const oldName = optionalOneOf(parameters, 'CustomerMasterKeySpec', keySpecs);
  if (spec !== undefined && oldName !== undefined) {
    throw validation(
      'You cannot specify KeySpec and CustomerMasterKeySpec in the same request. CustomerMasterKeySpec is deprecated.',
    );
  }
  return spec ?? oldName ?? 'SYMMETRIC_DEFAULT';
}

function usageOf(parameters: Parameters, spec: KeySpec): KeyUsage {
  const usage = optionalOneOf(parameters, 'KeyUsage', keyUsages);
  if (usage === undefined) {
    if (spec === 'SYMMETRIC_DEFAULT') return 'ENCRYPT_DECRYPT';
    throw validation('You must specify a KeyUsage value for all KMS keys except for symmetric encryption keys.');
  }
  if (!usageFitsSpec(usage, spec)) throw validation(`KeyUsage ${usage} is not compatible with KeySpec ${spec}`);
  return usage;
}

/** There are no custom key stores here yet, so that a key in one can't be made. */
function assertOriginIsOffered(origin: string, parameters: Parameters): void {
  const store = optionalString(parameters, 'CustomKeyStoreId', { min: 1, max: 64 });
  if (store !== undefined) {
    throw new KmsError('CustomKeyStoreNotFoundException', `Custom key store ${store} does not exist`);
  }
  if (origin === 'AWS_CLOUDHSM' || origin === 'EXTERNAL_KEY_STORE') {
    throw validation(`You must specify a CustomKeyStoreId for Origin ${origin}`);
  }
}

const describeKey: Operation = (context, parameters) => {
  const awsManaged = findAwsManagedKey(context, requiredString(parameters, 'KeyId', { min: 1, max: 2048 }));
  return { KeyMetadata: keyMetadata(awsManaged ?? findKey(context, parameters, { aliases: true })) };
};

const listKeys: Operation = ({ store, caller }, parameters) => {
  const limits = { standard: 100, most: 1000 };
  const { items, page: rest } = page(
    parameters,
    limits,
    (after, limit) => store.listKeyIds(caller, after, limit),
    (keyId) => keyId,
  );
  return { Keys: items.map((KeyId) => ({ KeyId, KeyArn: keyArn(caller, KeyId) })), ...rest };
};

const updateKeyDescription: Operation = (context, parameters) => {
  const description = requiredString(parameters, 'Description', { max: 8192 });
  const key = findChangeableKey(context, parameters);
  context.store.saveKey({ ...key, description });
  return emptyAnswer;
};

function switchKey(enabled: boolean): Operation {
  return (context, parameters) => {
    const key = findChangeableKey(context, parameters);
    if (keyState(key) === 'PendingImport') throw invalidState(`${arnOf(key)} is pending import.`);
    context.store.saveKey({ ...key, enabled });
    return emptyAnswer;
  };
}

const scheduleKeyDeletion: Operation = (context, parameters) => {
  const windowInDays = optionalInteger(parameters, 'PendingWindowInDays', 7, 30) ?? 30;
  const key = findChangeableKey(context, parameters);
  const deletionAt = context.clock.now() + windowInDays * day;
  const scheduled = { ...key, enabled: false, deletionAt };
  context.store.saveKey(scheduled);
  return {
    KeyId: arnOf(key),
    DeletionDate: inSeconds(deletionAt),
    KeyState: keyState(scheduled),
    PendingWindowInDays: windowInDays,
  };
};

const cancelKeyDeletion: Operation = (context, parameters) => {
  const key = findKey(context, parameters);
  assertCustomerManaged(context, key);
  if (!isPendingDeletion(key)) throw invalidState(`${arnOf(key)} is not pending deletion.`);
  context.store.saveKey({ ...key, deletionAt: null, enabled: false });
  return { KeyId: arnOf(key) };
};

/** Removes the keys whose deletion has come due. */
export function deleteDueKeys({ store, clock }: Pick<Context, 'store' | 'clock'>): void {
  for (const key of store.dueForDeletion(clock.now())) store.removeKey(key);
}

export const keyOperations: Record<string, Operation> = {
  CreateKey: createKey,
  DescribeKey: describeKey,
  ListKeys: listKeys,
  UpdateKeyDescription: updateKeyDescription,
  EnableKey: switchKey(true),
  DisableKey: switchKey(false),
  ScheduleKeyDeletion: scheduleKeyDeletion,
  CancelKeyDeletion: cancelKeyDeletion,
};

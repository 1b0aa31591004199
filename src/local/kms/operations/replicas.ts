/**
 * Multi-Region keys: a primary key and its replicas, one row in each Region. They share key id, spec, usage and rotation;
 * description, policy, tags and state are each one's own. Replicating takes no time here, unless multi_region_seconds says so:
 * Creating shows in the answer of ReplicateKey only, and Updating never. Source: AWS KMS developer guide, "Multi-Region keys in AWS KMS"; API reference.
 */
import { type Context, emptyAnswer, type Operation } from '../context.ts';
import { metadataOf } from '../describe.ts';
import { constraint, KmsError, unsupported } from '../errors.ts';
import { arnOf, assertEnabled, findChangeableKey, keyArn } from '../keys.ts';
import { optionalBoolean, optionalString, readDescription, requiredString } from '../parameters.ts';
import { acceptPolicy, defaultPolicy } from '../policy.ts';
import { regionsBeside } from '../regions.ts';
import type { StoredKey } from '../store.ts';
import { mergeTags, readTags } from './tags.ts';

const day = 86_400_000;
const regionPattern = '^([a-z]+-){2,3}\\d+$';

/** @throws KmsError for a key that has no replicas of its own. */
function assertPrimary(key: StoredKey): void {
  if (key.primaryRegion === key.region) return;
  throw unsupported(`${arnOf(key)} is not a multi-Region primary key.`);
}

const replicateKey: Operation = (context, parameters) => {
  const { caller, clock, store } = context;
  const region = requiredString(parameters, 'ReplicaRegion', { min: 1, max: 32 });
  if (!new RegExp(regionPattern).test(region)) {
    throw constraint(region, 'replicaRegion', `satisfy regular expression pattern: ${regionPattern}`);
  }
  const policy = optionalString(parameters, 'Policy', { min: 1, max: 131_072 });
  const bypass = optionalBoolean(parameters, 'BypassPolicyLockoutSafetyCheck') ?? false;
  const primary = findChangeableKey(context, parameters);
  assertPrimary(primary);
  assertEnabled(primary);
  if (!regionsBeside(primary.region).includes(region)) {
    throw unsupported(`${region} is no Region that ${arnOf(primary)} can be replicated to.`);
  }
  if (store.findKey({ account: caller.account, region }, primary.keyId) !== undefined) {
    const arn = keyArn({ account: caller.account, region }, primary.keyId);
    throw new KmsError('AlreadyExistsException', `The key ${arn} already exists`);
  }
  const replica: StoredKey = {
    ...primary,
    region,
    createdAt: clock.now(),
    description: readDescription(parameters) ?? '',
    enabled: true,
    policy: policy === undefined ? defaultPolicy(caller) : acceptPolicy(policy, caller, bypass),
    tags: mergeTags([], readTags(parameters)),
    replicaRegions: [...primary.replicaRegions, region],
  };
  store.transaction(() => {
    store.saveKey(replica);
    for (const key of relatives(context, primary)) store.saveKey({ ...key, replicaRegions: replica.replicaRegions });
  });
  return { ReplicaKeyMetadata: asCreated(metadataOf(context, replica)), ReplicaPolicy: replica.policy };
};

/** A replica is Creating when it is answered, though the next read may say Enabled. */
function asCreated(metadata: object): object {
  const { CurrentKeyMaterialId, ...others } = metadata as Record<string, unknown>;
  return { ...others, Enabled: false, KeyState: 'Creating' };
}

const updatePrimaryRegion: Operation = (context, parameters) => {
  const { store, caller } = context;
  const region = requiredString(parameters, 'PrimaryRegion', { min: 1, max: 32 });
  const primary = findChangeableKey(context, parameters);
  assertPrimary(primary);
  assertEnabled(primary);
  if (region === primary.region) throw unsupported(`${arnOf(primary)} is already the primary key.`);
  const replica = store.findKey({ account: caller.account, region }, primary.keyId);
  if (replica === undefined) {
    throw new KmsError(
      'NotFoundException',
      `Key '${keyArn({ account: caller.account, region }, primary.keyId)}' does not exist`,
    );
  }
  assertEnabled(replica);
  const replicaRegions = [...primary.replicaRegions.filter((name) => name !== region), primary.region];
  const { rotation, rotations } = primary;
  store.transaction(() => {
    for (const key of relatives(context, primary)) {
      store.saveKey({ ...key, rotation, rotations, primaryRegion: region, replicaRegions });
    }
  });
  return emptyAnswer;
};

/** The primary key and all its replicas. */
function relatives({ store }: Pick<Context, 'store'>, { account, keyId, primaryRegion, replicaRegions }: StoredKey) {
  if (primaryRegion === null) return [];
  return [primaryRegion, ...replicaRegions]
    .map((region) => store.findKey({ account, region }, keyId))
    .filter((key) => key !== undefined);
}

/** Removes the keys whose deletion has come due; the window of a primary begins when its last replica is gone. */
export function deleteDueKeys(context: Pick<Context, 'store' | 'clock'>): void {
  const { store, clock } = context;
  for (let due = store.dueForDeletion(clock.now()); due.length > 0; due = store.dueForDeletion(clock.now())) {
    store.transaction(() => {
      for (const key of due) deleteKey(context, key);
    });
  }
}

function deleteKey(context: Pick<Context, 'store'>, key: StoredKey): void {
  const { store } = context;
  const others = relatives(context, key).filter(({ region }) => region !== key.region);
  store.removeKey(key);
  for (const other of others) {
    const replicaRegions = other.replicaRegions.filter((region) => region !== key.region);
    const isWaiting = other.windowAfterReplicas !== null && replicaRegions.length === 0;
    const window = (other.windowAfterReplicas ?? 0) * day;
    store.saveKey({
      ...other,
      replicaRegions,
      ...(isWaiting ? { windowAfterReplicas: null, deletionAt: (key.deletionAt ?? 0) + window } : {}),
    });
  }
}

export const replicaOperations: Record<string, Operation> = {
  ReplicateKey: replicateKey,
  UpdatePrimaryRegion: updatePrimaryRegion,
};

/** DescribeKey, ListKeys and what changes a key's description and state. */
import { inSeconds } from '../clock.ts';
import { emptyAnswer, type Operation } from '../context.ts';
import { metadataOf } from '../describe.ts';
import { constraint, invalidState } from '../errors.ts';
import { keyState } from '../key-metadata.ts';
import {
  arnOf,
  assertCustomerManaged,
  assertImported,
  findChangeableKey,
  findKey,
  isPendingDeletion,
  keyArn,
} from '../keys.ts';
import { page } from '../pages.ts';
import { optionalInteger, readDescription, requiredString } from '../parameters.ts';
import { findAwsManagedKey } from './aws-managed.ts';
import { createKey } from './create-key.ts';

const day = 86_400_000;

const describeKey: Operation = (context, parameters) => {
  const awsManaged = findAwsManagedKey(context, requiredString(parameters, 'KeyId', { min: 1, max: 2048 }));
  return { KeyMetadata: metadataOf(context, awsManaged ?? findKey(context, parameters, { aliases: true })) };
};

const listKeys: Operation = ({ store, caller }, parameters) => {
  const limits = { standard: 100, most: 1000 };
  const { items, page: rest } = page(
    parameters,
    limits,
    (after, limit) => store.listKeyIds(caller, after, limit),
    (keyId) => keyId,
  );
  const { account, region } = caller;
  const seen = items.filter((keyId) => store.staleReads.lists({ account, region, keyId }));
  return { Keys: seen.map((KeyId) => ({ KeyId, KeyArn: keyArn(caller, KeyId) })), ...rest };
};

const updateKeyDescription: Operation = (context, parameters) => {
  const description = readDescription(parameters);
  if (description === undefined) throw constraint(null, 'description', 'not be null');
  const key = findChangeableKey(context, parameters);
  context.store.saveKey({ ...key, description });
  return emptyAnswer;
};

function switchKey(enabled: boolean): Operation {
  return (context, parameters) => {
    const key = findChangeableKey(context, parameters);
    assertImported(key);
    context.store.saveKey({ ...key, enabled });
    return emptyAnswer;
  };
}

const scheduleKeyDeletion: Operation = (context, parameters) => {
  const windowInDays = optionalInteger(parameters, 'PendingWindowInDays', 7, 30) ?? 30;
  const key = findChangeableKey(context, parameters);
  const waits = key.primaryRegion === key.region && key.replicaRegions.length > 0;
  const deletionAt = waits ? null : context.clock.now() + windowInDays * day;
  const scheduled = { ...key, enabled: false, deletionAt, windowAfterReplicas: waits ? windowInDays : null };
  context.store.saveKey(scheduled);
  return {
    KeyId: arnOf(key),
    ...(deletionAt === null ? {} : { DeletionDate: inSeconds(deletionAt) }),
    KeyState: keyState(scheduled),
    PendingWindowInDays: windowInDays,
  };
};

const cancelKeyDeletion: Operation = (context, parameters) => {
  const key = findKey(context, parameters);
  assertCustomerManaged(context, key);
  if (!isPendingDeletion(key)) throw invalidState(`${arnOf(key)} is not pending deletion.`);
  context.store.saveKey({ ...key, deletionAt: null, windowAfterReplicas: null, enabled: false });
  return { KeyId: arnOf(key) };
};

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

/** Automatic and on-demand rotation. */
import { standardRotationPeriod } from '../../../domain/arguments.ts';
import { inSeconds } from '../clock.ts';
import { emptyAnswer, type Operation } from '../context.ts';
import { rotationHolder } from '../describe.ts';
import { limitExceeded, unsupported } from '../errors.ts';
import { arnOf, assertEnabled, assertImported, findChangeableKey, findKey, isPendingDeletion } from '../keys.ts';
import { pageOf } from '../pages.ts';
import { optionalInteger, optionalOneOf } from '../parameters.ts';
import { materialId, nextRotation, rotationsOf } from '../rotations.ts';
import type { StoredKey } from '../store.ts';

/** For each key. Source: KMS developer guide, "Resource quotas". */
const mostOnDemandRotations = 25;

/** Rotation of a replica is its primary's. */
function assertOwnRotation(key: StoredKey): void {
  if (key.primaryRegion === null || key.primaryRegion === key.region) return;
  throw unsupported(`You cannot perform this operation on ${arnOf(key)}: it is a multi-Region replica key.`);
}

function assertRotatable(key: StoredKey): void {
  if (key.spec !== 'SYMMETRIC_DEFAULT' || key.origin !== 'AWS_KMS') {
    throw unsupported(
      `You cannot perform this operation on ${arnOf(key)}: it is not a symmetric encryption key with key material from AWS KMS.`,
    );
  }
}

const enableKeyRotation: Operation = (context, parameters) => {
  const given = optionalInteger(parameters, 'RotationPeriodInDays', 90, 2560);
  const key = findChangeableKey(context, parameters);
  assertRotatable(key);
  assertOwnRotation(key);
  assertEnabled(key);
  const now = context.clock.now();
  const periodInDays = given ?? (key.rotation.enabled ? key.rotation.periodInDays : standardRotationPeriod);
  // A new period counts from now; the rotations so far stay as they were.
  if (!key.rotation.enabled || periodInDays !== key.rotation.periodInDays) {
    const rotation = { enabled: true, periodInDays, since: now };
    context.store.saveKey({ ...key, rotations: rotationsOf(key, now), rotation });
  }
  return emptyAnswer;
};

const disableKeyRotation: Operation = (context, parameters) => {
  const key = findChangeableKey(context, parameters);
  assertRotatable(key);
  assertOwnRotation(key);
  assertEnabled(key);
  const rotations = rotationsOf(key, context.clock.now());
  context.store.saveKey({ ...key, rotations, rotation: { ...key.rotation, enabled: false } });
  return emptyAnswer;
};

const getKeyRotationStatus: Operation = (context, parameters) => {
  const key = findKey(context, parameters);
  assertRotatable(key);
  const holder = rotationHolder(context, key);
  // A key pending deletion is not rotated, and says so.
  if (!holder.rotation.enabled || isPendingDeletion(key)) return { KeyId: arnOf(key), KeyRotationEnabled: false };
  return {
    KeyId: arnOf(key),
    KeyRotationEnabled: true,
    RotationPeriodInDays: holder.rotation.periodInDays,
    NextRotationDate: inSeconds(nextRotation(holder, context.clock.now())),
  };
};

/** Of a key in the wrong state that is of the wrong kind as well, AWS says the state. */
const rotateKeyOnDemand: Operation = (context, parameters) => {
  const key = findChangeableKey(context, parameters);
  assertImported(key);
  assertEnabled(key);
  assertRotatable(key);
  assertOwnRotation(key);
  if (key.rotations.filter(({ type }) => type === 'ON_DEMAND').length >= mostOnDemandRotations) {
    const limit = 'The on-demand rotations limit has been reached for the given keyId.';
    throw limitExceeded(`${limit} No more on-demand rotations can be performed for this key: ${arnOf(key)}`);
  }
  const rotations = [...key.rotations, { at: context.clock.now(), type: 'ON_DEMAND' as const }];
  context.store.saveKey({ ...key, rotations });
  return { KeyId: arnOf(key) };
};

function materialEntry(holder: StoredKey, number: number, rotations: number) {
  return {
    KeyMaterialId: materialId(holder, number),
    KeyMaterialState: number === rotations ? 'CURRENT' : 'NON_CURRENT',
  };
}

const listKeyRotations: Operation = (context, parameters) => {
  const key = findKey(context, parameters);
  assertRotatable(key);
  const included = optionalOneOf(parameters, 'IncludeKeyMaterial', ['ALL_KEY_MATERIAL', 'ROTATIONS_ONLY'] as const);
  const holder = rotationHolder(context, key);
  const rotations = rotationsOf(holder, context.clock.now());
  const entries = rotations.map(({ at, type }, index) => ({
    ...materialEntry(holder, index + 1, rotations.length),
    RotationDate: inSeconds(at),
    RotationType: type,
  }));
  const first = included === 'ALL_KEY_MATERIAL' ? [materialEntry(holder, 0, rotations.length)] : [];
  const { items, page } = pageOf(parameters, { standard: 100, most: 1000 }, [...first, ...entries]);
  return { Rotations: items.map((entry) => ({ KeyId: arnOf(key), ...entry })), ...page };
};

export const rotationOperations: Record<string, Operation> = {
  EnableKeyRotation: enableKeyRotation,
  DisableKeyRotation: disableKeyRotation,
  GetKeyRotationStatus: getKeyRotationStatus,
  RotateKeyOnDemand: rotateKeyOnDemand,
  ListKeyRotations: listKeyRotations,
};

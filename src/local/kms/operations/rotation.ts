/** Automatic and on-demand rotation. */
import { randomBytes } from 'node:crypto';
import { inSeconds } from '../clock.ts';
import { emptyAnswer, type Operation } from '../context.ts';
import { limitExceeded, unsupported } from '../errors.ts';
import { arnOf, assertEnabled, findChangeableKey, findKey, isPendingDeletion } from '../keys.ts';
import { pageOf } from '../pages.ts';
import { optionalInteger } from '../parameters.ts';
import type { Rotation, StoredKey } from '../store.ts';

const day = 86_400_000;
const mostOnDemandRotations = 10;

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
  assertEnabled(key);
  const since = key.rotation.enabled ? key.rotation.since : context.clock.now();
  const periodInDays = given ?? (key.rotation.enabled ? key.rotation.periodInDays : 365);
  context.store.saveKey({ ...key, rotation: { enabled: true, periodInDays, since } });
  return emptyAnswer;
};

const disableKeyRotation: Operation = (context, parameters) => {
  const key = findChangeableKey(context, parameters);
  assertRotatable(key);
  assertEnabled(key);
  const rotations = rotationsOf(key, context.clock.now());
  context.store.saveKey({ ...key, rotations, rotation: { ...key.rotation, enabled: false } });
  return emptyAnswer;
};

const getKeyRotationStatus: Operation = (context, parameters) => {
  const key = findKey(context, parameters);
  assertRotatable(key);
  // A key pending deletion is not rotated, and says so.
  if (!key.rotation.enabled || isPendingDeletion(key)) return { KeyId: arnOf(key), KeyRotationEnabled: false };
  return {
    KeyId: arnOf(key),
    KeyRotationEnabled: true,
    RotationPeriodInDays: key.rotation.periodInDays,
    NextRotationDate: inSeconds(nextRotation(key, context.clock.now())),
  };
};

const rotateKeyOnDemand: Operation = (context, parameters) => {
  const key = findChangeableKey(context, parameters);
  assertRotatable(key);
  assertEnabled(key);
  const now = context.clock.now();
  const rotations = rotationsOf(key, now);
  if (rotations.filter(({ type }) => type === 'ON_DEMAND').length >= mostOnDemandRotations) {
    throw limitExceeded(`The on-demand rotation limit of ${mostOnDemandRotations} is reached for ${arnOf(key)}.`);
  }
  const materialId = randomBytes(32).toString('hex');
  context.store.saveKey({ ...key, materialId, rotations: [...rotations, { at: now, type: 'ON_DEMAND' }] });
  return { KeyId: arnOf(key) };
};

const listKeyRotations: Operation = (context, parameters) => {
  const key = findKey(context, parameters);
  assertRotatable(key);
  const rotations = rotationsOf(key, context.clock.now());
  const { items, page } = pageOf(parameters, { standard: 100, most: 1000 }, rotations);
  return {
    Rotations: items.map(({ at, type }) => ({ KeyId: arnOf(key), RotationDate: inSeconds(at), RotationType: type })),
    ...page,
  };
};

/** All rotations up to now: those on record, and the automatic ones that the calendar has brought since. */
function rotationsOf(key: StoredKey, now: number): Rotation[] {
  if (!key.rotation.enabled) return key.rotations;
  const automatic: Rotation[] = [];
  for (let at = key.rotation.since + period(key); at <= now; at += period(key))
    automatic.push({ at, type: 'AUTOMATIC' });
  return [...key.rotations, ...automatic].sort((first, second) => first.at - second.at);
}

function nextRotation(key: StoredKey, now: number): number {
  const passed = Math.floor((now - key.rotation.since) / period(key));
  return key.rotation.since + (passed + 1) * period(key);
}

function period(key: StoredKey): number {
  return key.rotation.periodInDays * day;
}

export const rotationOperations: Record<string, Operation> = {
  EnableKeyRotation: enableKeyRotation,
  DisableKeyRotation: disableKeyRotation,
  GetKeyRotationStatus: getKeyRotationStatus,
  RotateKeyOnDemand: rotateKeyOnDemand,
  ListKeyRotations: listKeyRotations,
};

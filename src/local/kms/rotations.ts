/** The rotations of a key, and the key material that each brought. */
import { createHash } from 'node:crypto';
import type { Rotation, StoredKey } from './store.ts';

const day = 86_400_000;

/** All rotations up to now, oldest first: those on record, and the automatic ones that the calendar has brought since. */
export function rotationsOf(key: StoredKey, now: number): Rotation[] {
  if (!key.rotation.enabled) return key.rotations;
  const automatic: Rotation[] = [];
  for (let at = key.rotation.since + period(key); at <= now; at += period(key)) {
    automatic.push({ at, type: 'AUTOMATIC' });
  }
  return [...key.rotations, ...automatic].sort((first, second) => first.at - second.at);
}

/** Milliseconds since the epoch. */
export function nextRotation(key: StoredKey, now: number): number {
  const passed = Math.floor((now - key.rotation.since) / period(key));
  return key.rotation.since + (passed + 1) * period(key);
}

/** The id of the key material that the n-th rotation brought; 0: the one that the key was made with. */
export function materialId({ keyId }: StoredKey, rotations: number): string {
  return createHash('sha256').update(`${keyId} ${rotations}`).digest('hex');
}

function period(key: StoredKey): number {
  return key.rotation.periodInDays * day;
}

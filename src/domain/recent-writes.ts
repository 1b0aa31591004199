/** Reads of KMS may be older than a write that it has carried out: what was written a moment ago is believed instead. */
import { isDeepStrictEqual } from 'node:util';
import { afterStep } from './after-step.ts';
import type { ObservedKey } from './arguments.ts';
import { isPendingDeletion } from './key-state.ts';
import { makesKey, operationTable, type ParametersOf, type Step } from './operations.ts';

/** A write that KMS has carried out. */
export type RecentWrite = {
  operation: string;
  parameters: unknown;
  /** The fields that it changed, as they were; null where it made the key. */
  before: Partial<ObservedKey> | null;
  finished_at: Date;
};

const day = 86_400_000;

/**
 * The key as it is, given a read that may show it as it was.
 * @param writes those within the settling time, oldest first.
 */
export function withRecentWrites(observed: ObservedKey, writes: Omit<RecentWrite, 'before'>[]): ObservedKey {
  return writes.reduce(withWrite, observed);
}

function withWrite(key: ObservedKey, write: Omit<RecentWrite, 'before'>): ObservedKey {
  const { operation, parameters, finished_at } = write;
  if (operation === 'CancelKeyDeletion') return isPendingDeletion(key) ? afterStep(key, write) : key;
  if (operation !== 'ScheduleKeyDeletion') return afterStep(key, write);
  if (isPendingDeletion(key)) return key;
  const { PendingWindowInDays: window } = parameters as ParametersOf<'ScheduleKeyDeletion'>;
  const date = new Date(finished_at.getTime() + window * day);
  return afterStep(key, write, { deletion_date: date.toISOString(), key_state: null });
}

/** For each step, the fields that it changes as they are right before it; null for a key that is not there yet. */
export function fieldsBefore(observed: ObservedKey | null, steps: Step[]): (Partial<ObservedKey> | null)[] {
  let key = observed;
  return steps.map((step) => {
    if (key === null || makesKey(step.operation)) return null;
    const current = key;
    key = afterStep(current, step);
    return Object.fromEntries(operationTable[step.operation].changes.map((field) => [field, current[field]]));
  });
}

/**
 * The key as it is, given a read that may be stale: a field that reads just as it did before one of Keyward's own latest
 * writes is taken to be as that write left it. What reads otherwise was changed by somebody else.
 * @param expected the key as it was recorded after those writes.
 * @param writes those within the settling time.
 * @returns the read itself when nothing in it is stale.
 */
export function withoutStaleFields(read: ObservedKey, expected: ObservedKey, writes: RecentWrite[]): ObservedKey {
  const stale = new Set<keyof ObservedKey>();
  for (const { before } of writes) {
    for (const field of Object.keys(before ?? {}) as (keyof ObservedKey)[]) {
      if (field === 'aliases') continue;
      if (isSame(read[field], before?.[field]) && !isSame(read[field], expected[field])) stale.add(field);
    }
  }
  // A new key may be seen without its tags.
  const isNew = writes.some(({ operation }) => makesKey(operation));
  if (isNew && Object.keys(read.tags).length === 0) stale.add('tags');
  if (stale.has('key_state')) stale.add('enabled');
  const aliases = withoutStaleNames(read.aliases, expected.aliases, writes);
  if (stale.size === 0 && aliases === read.aliases) return read;
  return { ...read, aliases, ...Object.fromEntries([...stale].map((field) => [field, expected[field]])) };
}

/** Name by name: some of them may be shown as they are, and others as they were. */
function withoutStaleNames(
  read: ObservedKey['aliases'],
  expected: ObservedKey['aliases'],
  writes: RecentWrite[],
): ObservedKey['aliases'] {
  if (read === null || expected === null) return read;
  const stale = writes.flatMap(({ operation, parameters, before }) => {
    if (!/^(Create|Update|Delete)Alias$/.test(operation)) return [];
    const { AliasName: name } = parameters as { AliasName: string };
    return read[name] === before?.aliases?.[name] && read[name] !== expected[name] ? [name] : [];
  });
  if (stale.length === 0) return read;
  const others = Object.entries(read).filter(([name]) => !stale.includes(name));
  const known = Object.entries(expected).filter(([name]) => stale.includes(name));
  return Object.fromEntries([...others, ...known]);
}

function isSame(first: unknown, second: unknown): boolean {
  return isDeepStrictEqual(first, second);
}

/**
 * What to plan from where the declared state is to be enforced whatever a read may be: the read, also where Keyward's own latest
 * writes say otherwise, since they may have been undone. To repeat a write costs one call. What can't be repeated (a deletion
 * that is cancelled or scheduled by now) is believed, and a key whose rotation is to be changed is not taken to be enabled.
 * @param believed the key by Keyward's own writes.
 */
export function withDoubt(read: ObservedKey, believed: ObservedKey): ObservedKey {
  const { key_state, enabled, deletion_date } = believed;
  const state = { key_state, enabled, deletion_date };
  if (isPendingDeletion(read) !== isPendingDeletion(believed))
    return { ...read, ...state, rotation: believed.rotation };
  const mayBeDisabled = enabled === false && !isSame(read.rotation, believed.rotation);
  return mayBeDisabled ? { ...read, ...state } : read;
}

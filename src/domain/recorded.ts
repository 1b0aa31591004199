/** How a key in KMS compares with what the database last recorded of it, after a gap. */
import { isDeepStrictEqual } from 'node:util';
import { afterStep } from './after-step.ts';
import { type DesiredKey, newlyMade, type ObservedKey, toldNames } from './arguments.ts';
import { valueIn } from './comparison.ts';
import { differences } from './drift.ts';
import { isPendingDeletion } from './key-state.ts';
import { isErrand, makesKey } from './operations.ts';
import { policiesEqual } from './policy-equivalence.ts';
import { type RecentWrite, withRecentWrites } from './recent-writes.ts';
import { partitionIn } from './regions.ts';
import type { Json, PolicyDocument } from './values.ts';

/** One field that KMS does not show as it was recorded. */
export type ChangedField = { field: string; recorded: Json; observed: Json };

/** What a look at a held key showed; `observed` null: KMS has no such key. */
export type FoundAfterGap = { observed: ObservedKey | null; differences: ChangedField[] };

/**
 * What KMS may show of a key without anybody having changed it since the record was made: the last observation, with the
 * writes that were confirmed after it, and with those of which the outcome is not known.
 * @param read what it shows now; a key that was made and never observed is taken to be like it where CreateKey doesn't tell.
 * @param writes oldest first; `isOpen`: the outcome is not known.
 * @returns empty when nothing was recorded of it.
 */
export function asRecorded(
  recorded: ObservedKey | null,
  read: ObservedKey,
  writes: (RecentWrite & { isOpen: boolean })[],
): ObservedKey[] {
  const creation = writes.find(({ operation }) => makesKey(operation));
  const base = recorded ?? (creation === undefined ? null : asCreated(read, creation));
  if (base === null) return [];
  const updates = writes.filter(({ operation }) => !makesKey(operation) && !isErrand(operation));
  const confirmed = withRecentWrites(
    base,
    updates.filter(({ isOpen }) => !isOpen),
  );
  return [base, confirmed, withRecentWrites(confirmed, updates)];
}

function asCreated(read: ObservedKey, creation: RecentWrite): ObservedKey {
  const rotation = read.rotation === null ? null : newlyMade.rotation;
  return { ...afterStep(read, creation), ...newlyMade, key_state: 'Enabled', enabled: true, rotation };
}

/**
 * The fields that were changed since, so that to enforce what is declared would undo it. What is as declared asks for no
 * write, and is none of them.
 * @param recorded any of these is as recorded; empty: nothing is known, and all that is not as declared counts.
 * @param isOwned whether the key had its ownership tag, as far as is known.
 */
export function changedSince(
  desired: DesiredKey,
  recorded: ObservedKey[],
  observed: ObservedKey,
  { isOwned }: { isOwned: boolean },
): ChangedField[] {
  if (desired.lifecycle === 'released') return [];
  const now = aspectsOf(observed);
  const partition = partitionIn(observed.arn);
  const befores = recorded.map(aspectsOf);
  const [last] = befores.slice(-1);
  const changed = differences(desired, observed)
    .map(({ field }) => field)
    .filter((field) => !befores.some((before) => isSame(field, before[field] ?? null, now[field] ?? null, partition)))
    .map((field) => ({ field, recorded: last?.[field] ?? null, observed: now[field] ?? null }));
  const { name, value } = desired.ownership_tag;
  const isAtRest = desired.lifecycle === 'pending_deletion' && isPendingDeletion(observed);
  if (isOwned && observed.tags[name] !== value && !isAtRest) {
    changed.push({ field: `tags.${name}`, recorded: value, observed: observed.tags[name] ?? null });
  }
  return changed;
}

/** A key by the names of fields that differences have. */
function aspectsOf(key: ObservedKey): Record<string, Json> {
  return {
    key_state: key.key_state,
    ...Object.fromEntries(toldNames.map((name) => [name, valueIn(name, key)])),
    ...Object.fromEntries(Object.entries(key.tags).map(([name, value]) => [`tags.${name}`, value])),
    ...Object.fromEntries(Object.entries(key.aliases ?? {}).map(([name, target]) => [`aliases.${name}`, target])),
  };
}

function isSame(field: string, one: Json, other: Json, partition: string): boolean {
  if (field !== 'policy' || one === null || other === null) return isDeepStrictEqual(one, other);
  return policiesEqual(one as PolicyDocument, other as PolicyDocument, partition);
}

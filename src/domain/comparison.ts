/** How a key in KMS compares with what was declared. The planner and the drift report both read it. */
import { isDeepStrictEqual } from 'node:util';
import {
  type DesiredKey,
  type ImmutableArguments,
  immutableArguments,
  type ObservedKey,
  type ToldName,
  toldArguments,
  toldNames,
} from './arguments.ts';
import { tagChanges } from './tags.ts';
import type { Json, Tags } from './values.ts';

export type Comparison = {
  /** The arguments in which KMS is not as declared. Where rotation does not apply, no call makes it so. */
  differing: ReadonlySet<ToldName>;
  /** With the ownership tag. */
  tagsToSet: Tags;
  /** Names. AWS's own tags, and those left to other systems, are never among them. */
  tagsToRemove: string[];
};

/** Compares argument by argument. What KMS does not tell differs from nothing. */
export function compareKey(desired: DesiredKey, observed: ObservedKey): Comparison {
  const differing = new Set(toldNames.filter((name) => differs(name, desired, observed)));
  return { differing, ...tagChanges(observed.tags, desired) };
}

/** The arguments that no call changes, in which the key is not as declared. */
export function immutableDifferences(desired: DesiredKey, observed: ObservedKey): (keyof ImmutableArguments)[] {
  return immutableArguments.filter((name) => differs(name, desired, observed));
}

function differs(name: ToldName, desired: DesiredKey, observed: ObservedKey): boolean {
  const declared: Json = desired[name];
  if (isUnmanaged(name, declared) || !isTold(name, observed)) return false;
  const seen = valueIn(name, observed);
  const { isHeld } = toldArguments[name];
  return !(isHeld === undefined ? isDeepStrictEqual(declared, seen) : isHeld(declared, seen, observed, desired));
}

/** Whether an argument that is declared so is left as KMS has it. */
export function isUnmanaged(name: ToldName, declared: Json): boolean {
  return declared === null && toldArguments[name].nullIsUnmanaged === true;
}

/** Whether KMS tells of an argument. */
export function isTold(name: ToldName, key: ObservedKey): boolean {
  return toldArguments[name].isTold?.(key) ?? valueIn(name, key) !== null;
}

/** What KMS shows of an argument; null: nothing, or that there is none. */
export function valueIn(name: ToldName, key: ObservedKey): Json {
  const { read, shownIn } = toldArguments[name];
  return read === undefined ? key[shownIn] : read(key);
}

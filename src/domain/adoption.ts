/** What is declared when a key is taken as it is in KMS: imported, adopted, or left alone in some fields. */
import {
  type DeclaredKey,
  type DesiredKey,
  type KeyArguments,
  nothingDeclared,
  nothingTold,
  type ObservedKey,
  type ToldName,
  toldArguments,
  toldNames,
} from './arguments.ts';
import { isTold, isUnmanaged, valueIn } from './comparison.ts';
import type { Json, Tags } from './values.ts';

/** What a key declares that is imported as it is. @param tags those that its owner can be said to have asked for. */
export function imported(key: ObservedKey, tags: Tags): DeclaredKey {
  const found = toldNames.map((name) => [name, valueIn(name, key) ?? nothingDeclared[name]]);
  return { ...nothingDeclared, ...Object.fromEntries(found), tags };
}

/**
 * The arguments as KMS has them. What it does not tell stays as declared, and so does what is not managed.
 * @param tags those that the key's owner can be said to have asked for.
 */
export function adopted<Declared extends KeyArguments>(declared: Declared, key: ObservedKey, tags: Tags): Declared {
  const names = toldNames.filter(
    (name) => toldArguments[name].kind === 'held' && toldArguments[name].isJudged?.(key) !== false,
  );
  return { ...declared, ...asSeen(names, declared, key), tags };
}

/** What is aimed at while these arguments, but for tags, are left as KMS has them. */
export function leftAlone(desired: DesiredKey, key: ObservedKey, names: readonly ToldName[]): DesiredKey {
  const unmanaged = names.filter((name) => toldArguments[name].nullIsUnmanaged).map((name) => [name, null]);
  return { ...desired, ...asSeen(names, desired, key), ...Object.fromEntries(unmanaged) };
}

/**
 * What is declared in order to take writes back. An argument that was left alone, and that one of them has changed, is declared
 * as it was before: to leave it alone would leave the change.
 * @param befores what each write changed, as it was before, oldest first.
 */
export function putBack(declared: DeclaredKey, befores: readonly Partial<ObservedKey>[]): DeclaredKey {
  const changed = toldNames.flatMap((name) => {
    const before = befores.find((fields) => Object.hasOwn(fields, toldArguments[name].shownIn));
    if (before === undefined || !isUnmanaged(name, declared[name])) return [];
    return [[name, valueIn(name, { ...nothingTold, ...before } as ObservedKey)]];
  });
  return { ...declared, ...Object.fromEntries(changed) };
}

function asSeen(names: readonly ToldName[], declared: KeyArguments, key: ObservedKey): Partial<KeyArguments> {
  return Object.fromEntries(names.map((name) => [name, valueAsSeen(name, declared[name], key)]));
}

function valueAsSeen(name: ToldName, declared: Json, key: ObservedKey): Json {
  if (isUnmanaged(name, declared) || !isTold(name, key)) return declared;
  const seen = valueIn(name, key);
  const argument = toldArguments[name];
  return argument.adopted === undefined ? seen : argument.adopted(declared, seen, key);
}

/**
 * What KMS does not tell is neither yes nor no. A field that a read leaves open is taken to be as it was last known to be, so
 * that nothing is written or reported for it, and that a change of it is written all the same.
 */
import { type DesiredKey, type ObservedKey, type ToldName, toldArguments, toldNames } from './arguments.ts';
import { isTold, valueIn } from './comparison.ts';
import { isPendingDeletion } from './key-state.ts';
import type { Json } from './values.ts';

/** The read, with what it leaves open as it was known before. @returns the read itself where it tells everything. */
export function withKnown(read: ObservedKey, known: ObservedKey): ObservedKey {
  const withOrigin = read.origin === null && known.origin !== null ? { ...read, origin: known.origin } : read;
  const { primary_arn, replica_arns } = known;
  const withRoles =
    read.primary_arn === null && primary_arn !== null ? { ...withOrigin, primary_arn, replica_arns } : withOrigin;
  return filled(withRoles, (name) => valueIn(name, known));
}

/** A key that KMS holds as declared, as far as it tells: what nobody ever told of it is taken to be as declared, too. */
export function withDeclared(observed: ObservedKey, desired: DesiredKey): ObservedKey {
  return filled(observed, (name) => desired[name]);
}

/** @param known what is known of an argument; null: nothing. */
function filled(read: ObservedKey, known: (name: ToldName) => Json): ObservedKey {
  let key = read;
  for (const name of toldNames) {
    const { shownIn, holding } = toldArguments[name];
    // What a cancelled deletion leaves is not what was there before it.
    const isOver = shownIn === 'key_state' && isPendingDeletion(key);
    const value = isOver || isTold(name, key) ? null : known(name);
    if (value !== null) key = { ...key, ...(holding === undefined ? { [shownIn]: value } : holding(value, key)) };
  }
  return key;
}

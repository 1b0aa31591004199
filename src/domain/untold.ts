/**
 * What KMS does not tell is neither yes nor no. A field that a read leaves open is taken to be as it was last known to be, so
 * that nothing is written or reported for it, and that a change of it is written all the same.
 */
import { isPendingDeletion } from './key-state.ts';
import type { DesiredKey, ObservedKey, Rotation } from './types.ts';

/** The read, with what it leaves open as it was known before. @returns the read itself where it tells everything. */
export function withKnown(read: ObservedKey, known: ObservedKey): ObservedKey {
  return filled(read, known);
}

/** A key that KMS holds as declared, as far as it tells: what nobody ever told of it is taken to be as declared, too. */
export function withDeclared(observed: ObservedKey, desired: DesiredKey): ObservedKey {
  const { enable_key_rotation: enabled, rotation_period_in_days: period_in_days, is_enabled } = desired;
  return filled(observed, { ...desired, enabled: is_enabled, rotation: { enabled, period_in_days } });
}

type Known = Partial<Omit<ObservedKey, 'rotation'>> & Pick<ObservedKey, 'rotation'>;

const simple = ['description', 'policy', 'origin', 'key_usage', 'customer_master_key_spec'] as const;

function filled(read: ObservedKey, known: Known): ObservedKey {
  const found: Partial<ObservedKey> = {};
  for (const field of simple) {
    if (read[field] === null && known[field] != null) Object.assign(found, { [field]: known[field] });
  }
  // What a cancelled deletion leaves is not what was there before it.
  if (read.enabled === null && known.enabled != null && !isPendingDeletion(read)) found.enabled = known.enabled;
  const rotation = rotationFilled(read.rotation, known.rotation);
  if (rotation !== read.rotation) found.rotation = rotation;
  return Object.keys(found).length === 0 ? read : { ...read, ...found };
}

function rotationFilled(read: Rotation | null, known: Rotation | null): Rotation | null {
  if (read === null || known === null) return read;
  if (read.enabled === null) return known.enabled === null ? read : known;
  if (!read.enabled || read.period_in_days !== null || known.period_in_days === null) return read;
  return { enabled: true, period_in_days: known.period_in_days };
}

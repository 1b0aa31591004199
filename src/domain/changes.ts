/** Which fields differ between two declared states, for revisions and events. */
import { isDeepStrictEqual } from 'node:util';
import type { Json } from './values.ts';

/**
 * @param before null for a key that was not declared before: every field counts as new.
 * @returns by field, the value before and after.
 */
export function changedFields(before: object | null, after: object): Record<string, { before: Json; after: Json }> {
  const old = new Map<string, Json>(before === null ? [] : Object.entries(before));
  return Object.fromEntries(
    Object.entries(after)
      .filter(([field, value]) => !isDeepStrictEqual(old.get(field), value))
      .map(([field, value]) => [field, { before: old.get(field) ?? null, after: value as Json }]),
  );
}

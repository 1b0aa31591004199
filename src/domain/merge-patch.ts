/** JSON Merge Patch. Source: RFC 7396. */
import type { Json } from './types.ts';

/** The target with the patch applied. Neither is changed. */
export function mergePatch(target: Json, patch: Json): Json {
  if (!isObject(patch)) return patch;
  // A Map, since assignment to a member named __proto__ would do something else.
  const result = new Map<string, Json>(isObject(target) ? Object.entries(target) : []);
  for (const [name, value] of Object.entries(patch)) {
    if (value === null) result.delete(name);
    else result.set(name, mergePatch(result.get(name) ?? null, value));
  }
  return Object.fromEntries(result);
}

function isObject(value: Json): value is { [member: string]: Json } {
  return value !== null && typeof value === 'object' && !Array.isArray(value);
}

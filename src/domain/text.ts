/** Text that PostgreSQL can't hold, and JSON that is too deep to walk. */
import type { Json } from './types.ts';

/** Whether a string has a NUL or half of a surrogate pair in it: PostgreSQL refuses the one and would alter the other. */
export function unstorableText(text: string): boolean {
  return text.includes('\0') || !text.isWellFormed();
}

/** How deep a JSON value nests, up to `limit` + 1: a string is 0 deep. Takes input of any depth. */
export function depthOf(value: Json, limit: number): number {
  let level: Json[] = [value];
  for (let depth = 0; depth <= limit; depth += 1) {
    const below = level.flatMap((item) => (item !== null && typeof item === 'object' ? Object.values(item) : []));
    if (!level.some((item) => item !== null && typeof item === 'object')) return depth;
    level = below;
  }
  return limit + 1;
}

/** Whether any name or text in a JSON value is unstorable. The value must not be deep. */
export function hasUnstorableText(value: Json): boolean {
  if (typeof value === 'string') return unstorableText(value);
  if (value === null || typeof value !== 'object') return false;
  return Object.entries(value).some(([name, member]) => unstorableText(name) || hasUnstorableText(member));
}

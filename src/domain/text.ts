/** Text that PostgreSQL can't hold, and JSON that is too deep to walk. */
import { pointerSegment } from './pointer.ts';
import type { Json, Violation } from './values.ts';

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

type Place = { name: string; within: Place } | null;

/** What is wrong with a text is told up to so many places. */
const mostTold = 100;

/** Every name and text of a JSON value that is unstorable, with its place. Takes input of any depth. */
export function unstorableTexts(value: Json): Violation[] {
  const found: Violation[] = [];
  const open: { value: Json; at: Place }[] = [{ value, at: null }];
  for (let next = open.pop(); next !== undefined && found.length < mostTold; next = open.pop()) {
    const { value, at } = next;
    const detail = 'The text has a NUL character or half of a surrogate pair in it.';
    if (typeof value === 'string' && unstorableText(value))
      found.push({ pointer: pointerTo(at), code: 'invalid_text', detail });
    if (value === null || typeof value !== 'object') continue;
    for (const [name, member] of Object.entries(value).reverse()) {
      const place = { name, within: at };
      if (unstorableText(name)) {
        found.push({ pointer: pointerTo(place), code: 'invalid_text', detail: detail.replace('text', 'name') });
      } else open.push({ value: member, at: place });
    }
  }
  return found;
}

function pointerTo(place: Place): string {
  const names: string[] = [];
  for (let one = place; one !== null; one = one.within) names.push(`/${pointerSegment(one.name)}`);
  return names.reverse().join('');
}

/** What PostgreSQL takes in place of what it does not: each NUL and each half of a surrogate pair is marked, with its number. */
export function storableText(text: string): string {
  if (!unstorableText(text)) return text;
  return text.replace(/\0|\p{Surrogate}/gu, (unit) => {
    const number = unit.charCodeAt(0).toString(16).toUpperCase().padStart(4, '0');
    return `\uFFFD{${number}}`;
  });
}

/** The same in every name and text of a JSON value. The value must not be deep. */
export function storableJson<Value>(value: Value): Value {
  if (typeof value === 'string') return storableText(value) as Value;
  if (value === null || typeof value !== 'object') return value;
  if (Array.isArray(value)) return value.map(storableJson) as Value;
  const members = Object.entries(value).map(([name, member]) => [storableText(name), storableJson(member)]);
  return Object.fromEntries(members) as Value;
}

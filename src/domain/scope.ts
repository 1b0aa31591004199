/** A part of a key. What is done about that part alone, whatever else differs: a write is repeated, or some tags are set. */
import { fieldsOf } from './recent-writes.ts';
import type { Difference, ObservedKey, Step } from './types.ts';

export type Scope = { fields: ReadonlySet<keyof ObservedKey>; tagNames: ReadonlySet<string> };

/** A write whose outcome nobody can tell. */
export type UnknownWrite = { operation: string; parameters: unknown };

/** The fields of these writes, and these tags. */
export function scopeOf(writes: readonly UnknownWrite[], tagNames: readonly string[] = []): Scope {
  const fields = writes.flatMap(({ operation }) => [...(fieldsOf[operation as Step['operation']] ?? [])]);
  return {
    fields: new Set(fields.filter((field) => field !== 'tags')),
    tagNames: new Set([...tagNames, ...writes.flatMap(tagNamesOf)]),
  };
}

function tagNamesOf({ operation, parameters }: UnknownWrite): string[] {
  if (operation === 'TagResource') return Object.keys((parameters as { Tags: object }).Tags);
  return operation === 'UntagResource' ? (parameters as { TagKeys: string[] }).TagKeys : [];
}

/** The field of an observation in which a difference shows. */
const shownIn: Record<string, keyof ObservedKey> = {
  description: 'description',
  policy: 'policy',
  is_enabled: 'key_state',
  key_state: 'key_state',
  enable_key_rotation: 'rotation',
  rotation_period_in_days: 'rotation',
};

/** Whether a difference is one of this part. */
export function isWithin({ fields, tagNames }: Scope, { field }: Pick<Difference, 'field'>): boolean {
  if (field.startsWith('tags.')) return tagNames.has(field.slice('tags.'.length));
  const shown = shownIn[field];
  return shown !== undefined && fields.has(shown);
}

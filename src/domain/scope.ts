/** A part of a key. What is done about that part alone, whatever else differs: a write is repeated, or some tags are set. */
import { type ObservedKey, toldArguments } from './arguments.ts';
import { argumentOf } from './drift.ts';
import { operationOf } from './operations.ts';
import type { Difference } from './values.ts';

export type Scope = { fields: ReadonlySet<keyof ObservedKey>; tagNames: ReadonlySet<string> };

/** A write whose outcome nobody can tell. */
export type UnknownWrite = { operation: string; parameters: unknown };

/** The fields of these writes, and these tags. */
export function scopeOf(writes: readonly UnknownWrite[], tagNames: readonly string[] = []): Scope {
  const fields = writes.flatMap(({ operation }) => [...(operationOf(operation)?.changes ?? [])]);
  return {
    fields: new Set(fields.filter((field) => field !== 'tags')),
    tagNames: new Set([...tagNames, ...writes.flatMap(tagNamesOf)]),
  };
}

function tagNamesOf({ operation, parameters }: UnknownWrite): string[] {
  if (operation === 'TagResource') return Object.keys((parameters as { Tags: object }).Tags);
  return operation === 'UntagResource' ? (parameters as { TagKeys: string[] }).TagKeys : [];
}

/** Whether a difference is one of this part. */
export function isWithin({ fields, tagNames }: Scope, { field }: Pick<Difference, 'field'>): boolean {
  if (field.startsWith('tags.')) return tagNames.has(field.slice('tags.'.length));
  const name = argumentOf({ field });
  if (name === null) return field === 'key_state' && fields.has('key_state');
  return fields.has(toldArguments[name].shownIn);
}

/** TagResource, UntagResource and ListResourceTags. */
import { emptyAnswer, type Operation } from '../context.ts';
import { constraint, KmsError, tagError } from '../errors.ts';
import { findChangeableKey, findKey } from '../keys.ts';
import { pageOf } from '../pages.ts';
import { checkLength, type Parameters, requiredList } from '../parameters.ts';

const mostTags = 50;
const characters = /^[\p{L}\p{Z}\p{N}_.:/=+\-@]*$/u;

type Tag = [name: string, value: string];

/** The tags of a request, checked. @throws KmsError TagException, ValidationException */
export function readTags(parameters: Parameters): Tag[] {
  if (parameters['Tags'] === undefined) return [];
  const tags = requiredList(parameters, 'Tags').map(readTag);
  if (new Set(tags.map(([name]) => name)).size < tags.length) throw tagError('Duplicate tag keys');
  return tags;
}

function readTag(given: unknown, index: number): Tag {
  const { TagKey: name, TagValue: value } = (given ?? {}) as Record<string, unknown>;
  const place = `tags.${index + 1}.member`;
  if (typeof name !== 'string') throw constraint(null, `${place}.tagKey`, 'not be null');
  if (typeof value !== 'string') throw constraint(null, `${place}.tagValue`, 'not be null');
  checkLength(name, `${place}.tagKey`, { min: 1, max: 128 });
  checkLength(value, `${place}.tagValue`, { max: 256 });
  assertNotReserved(name);
  for (const text of [name, value]) {
    if (!characters.test(text))
      throw tagError('Tag keys and values may only contain letters, numbers, spaces and _.:/=+-@');
  }
  return [name, value];
}

function assertNotReserved(name: string): void {
  if (/^aws:/i.test(name)) throw tagError('Tags beginning with aws: are reserved');
}

/** The tags with others added or replaced. @throws KmsError TagException */
export function mergeTags(existing: Tag[], added: Tag[]): Tag[] {
  const merged = [...new Map([...existing, ...added])];
  if (merged.length > mostTags) throw tagError('Too many tags');
  return merged;
}

const tagResource: Operation = (context, parameters) => {
  requiredList(parameters, 'Tags');
  const added = readTags(parameters);
  const key = findChangeableKey(context, parameters);
  context.store.saveKey({ ...key, tags: mergeTags(key.tags, added) });
  return emptyAnswer;
};

const untagResource: Operation = (context, parameters) => {
  const names = requiredList(parameters, 'TagKeys').map((name) => {
    if (typeof name !== 'string') throw new KmsError('SerializationException', 'TagKeys must be a list of strings');
    assertNotReserved(name);
    return name;
  });
  const key = findChangeableKey(context, parameters);
  context.store.saveKey({ ...key, tags: key.tags.filter(([name]) => !names.includes(name)) });
  return emptyAnswer;
};

const listResourceTags: Operation = (context, parameters) => {
  const key = findKey(context, parameters);
  const { items, page } = pageOf(parameters, { standard: 50, most: 50 }, key.tags);
  return { Tags: items.map(([TagKey, TagValue]) => ({ TagKey, TagValue })), ...page };
};

export const tagOperations: Record<string, Operation> = {
  TagResource: tagResource,
  UntagResource: untagResource,
  ListResourceTags: listResourceTags,
};

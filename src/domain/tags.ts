/** Tags: how they merge, and what KMS accepts. Source: AWS KMS developer guide, "Tags in AWS KMS"; API reference, Tag. */

import { pointerSegment } from './pointer.ts';
import { unstorableText } from './text.ts';
import type { Tags, Violation } from './values.ts';

export const mostTags = 50;
const longestName = 128;
const longestValue = 256;
const characters = /^[\p{L}\p{Z}\p{N}_.:/=+\-@]*$/u;

/** Whether AWS keeps tags of this name to itself. They don't count towards the limit, which is for tags of users. */
export function isReservedByAws(name: string): boolean {
  return /^aws:/i.test(name);
}

/** Tags that other systems look after, by name and by the beginning of their name: Terraform's `ignore_tags`. */
export type IgnoreTags = { keys: string[]; key_prefixes: string[] };

/** What a provider says of the tags of all its keys. */
export type TagSettings = { default_tags: Tags; ignore_tags: IgnoreTags };

/** Whether tags of this name are left to other systems: neither set, nor removed, nor drift. */
export function isIgnored(name: string, { keys, key_prefixes }: IgnoreTags): boolean {
  return keys.includes(name) || key_prefixes.some((prefix) => name.startsWith(prefix));
}

/**
 * A provider's default tags overlaid by a key's own, which win, without those that are ignored: Terraform's `tags_all`.
 * The ownership tag is not among them.
 */
export function mergeTags({ default_tags, ignore_tags }: TagSettings, tags: Tags): Tags {
  const merged = Object.entries({ ...default_tags, ...tags });
  return Object.fromEntries(merged.filter(([name]) => !isIgnored(name, ignore_tags)));
}

/**
 * The tags of a key in KMS that its owner can be said to have asked for: those of the default tags that KMS holds as they
 * are come from the provider, unless the owner declared them too.
 * @param observed all of the key's tags in KMS.
 */
export function ownTags(observed: Tags, settings: TagSettings, ownershipTagName: string, declared: Tags = {}): Tags {
  const { default_tags, ignore_tags } = settings;
  const isDefault = ([name, value]: [string, string]) =>
    Object.hasOwn(default_tags, name) && default_tags[name] === value && !Object.hasOwn(declared, name);
  const kept = Object.entries(declared).filter(([name]) => isIgnored(name, ignore_tags));
  const found = Object.entries(withoutReserved(observed, ownershipTagName)).filter(
    (tag) => !isDefault(tag) && !isIgnored(tag[0], ignore_tags),
  );
  return Object.fromEntries([...kept, ...found]);
}

/** The tags with a PATCH applied, name by name: null takes a tag away, in place of all names it takes all away. */
export function patchedTags(tags: Tags, patch: Record<string, string | null> | null): Tags {
  const merged = Object.entries<string | null>(patch === null ? {} : { ...tags, ...patch });
  return Object.fromEntries(merged.filter((tag): tag is [string, string] => tag[1] !== null));
}

/** The names that are in one of two sets of tags and not, or with another value, in the other. */
export function changedTagNames(before: Tags, after: Tags): string[] {
  const names = new Set([...Object.keys(before), ...Object.keys(after)]);
  const valueIn = (tags: Tags, name: string) => (Object.hasOwn(tags, name) ? tags[name] : undefined);
  return [...names].filter((name) => valueIn(before, name) !== valueIn(after, name));
}

/**
 * What is to be done about the tags of a key so that it has these and the ownership tag.
 * @param tags all that it has in KMS.
 * @returns names to remove, among which AWS's own tags, and those left to other systems, never are.
 */
export function tagChanges(
  tags: Tags,
  { tags_all, ignore_tags, ownership_tag: { name, value } }: TagAim,
): { tagsToSet: Tags; tagsToRemove: string[] } {
  const wanted: Tags = { ...tags_all, [name]: value };
  return {
    tagsToSet: Object.fromEntries(Object.entries(wanted).filter(([tag, text]) => tagIn(tags, tag) !== text)),
    tagsToRemove: Object.keys(tags).filter(
      (tag) => !Object.hasOwn(wanted, tag) && !isReservedByAws(tag) && !isIgnored(tag, ignore_tags),
    ),
  };
}

type TagAim = { tags_all: Tags; ignore_tags: IgnoreTags; ownership_tag: { name: string; value: string } };

/** The value of a tag; null: there is none of this name. */
export function tagIn(tags: Tags, name: string): string | null {
  return Object.hasOwn(tags, name) ? (tags[name] ?? null) : null;
}

/** The tags that an owner may see and set: neither the ownership tag nor AWS's own. */
export function withoutReserved(tags: Tags, ownershipTagName: string): Tags {
  const visible = Object.entries(tags).filter(([name]) => name !== ownershipTagName && !isReservedByAws(name));
  return Object.fromEntries(visible);
}

/** Whether a key lacks the ownership tag that it is to have. Another's in its place is not lacking. */
export function lacksOwnershipTag(tags: Tags, { name, value }: { name: string; value: string }): boolean {
  return tags[name] !== value && claimedIdIn(tags, name) === null;
}

const uuid = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;

/** The id that a key's ownership tag has in it; null where there is no such tag, or no id of ours in it. */
export function claimedIdIn(tags: Tags, ownershipTagName: string): string | null {
  const claim = Object.hasOwn(tags, ownershipTagName) ? tags[ownershipTagName] : undefined;
  return claim !== undefined && uuid.test(claim) ? claim : null;
}

/**
 * What is wrong with the tags of one key. Lengths are in Unicode characters.
 * @param settings of the provider; its default tags count towards the limit.
 */
export function tagViolations(tags: Tags, settings: TagSettings, ownershipTagName: string): Violation[] {
  const violations = tagFaults(tags, '/tags', ownershipTagName);
  const total = Object.keys(mergeTags(settings, tags)).length + 1;
  if (total > mostTags) {
    const detail = `A key has at most ${mostTags} tags; with the provider's default tags and the ownership tag these are ${total}.`;
    violations.push({ pointer: '/tags', code: 'too_many', detail });
  }
  return violations;
}

/**
 * What is wrong with names and values of tags.
 * @param pointer of the tags in the body.
 */
export function tagFaults(tags: Tags, pointer: string, ownershipTagName: string): Violation[] {
  return Object.entries(tags).flatMap(([name, value]) =>
    [nameFault(name, ownershipTagName), valueFault(value)]
      .filter((fault) => fault !== null)
      .map((fault) => ({ pointer: `${pointer}/${pointerSegment(name)}`, ...fault })),
  );
}

type Fault = Pick<Violation, 'code' | 'detail'>;

function nameFault(name: string, ownershipTagName: string): Fault | null {
  const length = [...name].length;
  if (length < 1 || length > longestName) {
    const detail = `A tag name has 1 to ${longestName} characters; this one has ${length}.`;
    return { code: length < 1 ? 'too_short' : 'too_long', detail };
  }
  if (isReservedByAws(name)) {
    return { code: 'reserved', detail: 'Tag names that begin with aws: are reserved for AWS; choose another name.' };
  }
  if (name === ownershipTagName) {
    return {
      code: 'reserved',
      detail: `The tag ${ownershipTagName} marks the key as Keyward's and is set by Keyward.`,
    };
  }
  if (unstorableText(name) || !characters.test(name)) {
    return { code: 'invalid_format', detail: 'A tag name has only letters, digits, spaces and _ . : / = + - @ in it.' };
  }
  return null;
}

function valueFault(value: string): Fault | null {
  const length = [...value].length;
  if (length > longestValue) {
    const detail = `A tag value has at most ${longestValue} characters; this one has ${length}.`;
    return { code: 'too_long', detail };
  }
  if (unstorableText(value) || !characters.test(value)) {
    return {
      code: 'invalid_format',
      detail: 'A tag value has only letters, digits, spaces and _ . : / = + - @ in it.',
    };
  }
  return null;
}

/** Tags: how they merge, and what KMS accepts. Source: AWS KMS developer guide, "Tags in AWS KMS"; API reference, Tag. */

import { unstorableText } from './text.ts';
import type { Tags, Violation } from './types.ts';

export const mostTags = 50;
const longestName = 128;
const longestValue = 256;
const characters = /^[\p{L}\p{Z}\p{N}_.:/=+\-@]*$/u;

/** Whether AWS keeps tags of this name to itself. */
export function isReservedByAws(name: string): boolean {
  return /^aws:/i.test(name);
}

/** A provider's default tags overlaid by a key's own, which win. */
export function mergeTags(defaultTags: Tags, tags: Tags): Tags {
  return { ...defaultTags, ...tags };
}

/** The tags that an owner may see and set: neither the ownership tag nor AWS's own. */
export function withoutReserved(tags: Tags, ownershipTagName: string): Tags {
  const visible = Object.entries(tags).filter(([name]) => name !== ownershipTagName && !isReservedByAws(name));
  return Object.fromEntries(visible);
}

const uuid = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;

/** The id that a key's ownership tag has in it; null where there is no such tag, or no id of ours in it. */
export function claimedIdIn(tags: Tags, ownershipTagName: string): string | null {
  const claim = Object.hasOwn(tags, ownershipTagName) ? tags[ownershipTagName] : undefined;
  return claim !== undefined && uuid.test(claim) ? claim : null;
}

/** A member name as a segment of an RFC 6901 pointer. */
export function pointerSegment(name: string): string {
  return name.replaceAll('~', '~0').replaceAll('/', '~1');
}

/**
 * What is wrong with the tags of one key. Lengths are in Unicode characters.
 * @param defaultTags of the provider; they count towards the limit.
 */
export function tagViolations(tags: Tags, defaultTags: Tags, ownershipTagName: string): Violation[] {
  const violations = Object.entries(tags).flatMap(([name, value]) =>
    [nameFault(name, ownershipTagName), valueFault(value)]
      .filter((detail) => detail !== null)
      .map((detail) => ({ pointer: `/tags/${pointerSegment(name)}`, detail })),
  );
  const total = Object.keys(mergeTags(defaultTags, tags)).length + 1;
  if (total > mostTags) {
    const detail = `A key has at most ${mostTags} tags; with the provider's default tags and the ownership tag these are ${total}.`;
    violations.push({ pointer: '/tags', detail });
  }
  return violations;
}

function nameFault(name: string, ownershipTagName: string): string | null {
  const length = [...name].length;
  if (length < 1 || length > longestName) {
    return `A tag name has 1 to ${longestName} characters; this one has ${length}.`;
  }
  if (isReservedByAws(name)) return 'Tag names that begin with aws: are reserved for AWS; choose another name.';
  if (name === ownershipTagName) return `The tag ${ownershipTagName} marks the key as Keyward's and is set by Keyward.`;
  if (unstorableText(name) || !characters.test(name)) {
    return 'A tag name has only letters, digits, spaces and _ . : / = + - @ in it.';
  }
  return null;
}

function valueFault(value: string): string | null {
  const length = [...value].length;
  if (length > longestValue) return `A tag value has at most ${longestValue} characters; this one has ${length}.`;
  if (unstorableText(value) || !characters.test(value)) {
    return 'A tag value has only letters, digits, spaces and _ . : / = + - @ in it.';
  }
  return null;
}

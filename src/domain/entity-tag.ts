/** Entity tags in conditions. Source: RFC 9110, 13.1. */

/** Whether a list of entity tags, or `*`, names this one. If-None-Match compares weakly: whatever was compressed is the same. */
export function isCurrent(ifNoneMatch: string | undefined, tag: string): boolean {
  if (ifNoneMatch === undefined) return false;
  const opaque = tag.replace(/^W\//, '');
  return (
    ifNoneMatch.trim() === '*' || [...ifNoneMatch.matchAll(/(?:W\/)?("[^"]*")/g)].some(([, one]) => one === opaque)
  );
}

/** The tag of a key as it is shown to one caller: another one where it may do other things. @param mark empty: none. */
export function tagFor(tag: string, mark: string): string {
  return mark === '' ? tag : tag.replace(/"$/, `.${mark}"`);
}

/** A condition on a key, whoever it was shown to. */
export function withoutMarks(condition: string | undefined): string | undefined {
  return condition?.replaceAll(/"(\d+\.\d+)\.[0-9a-z]+"/g, '"$1"');
}

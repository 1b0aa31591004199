/** Entity tags in conditions. Source: RFC 9110, 13.1. */

/** Whether a list of entity tags, or `*`, names this one. If-None-Match compares weakly: whatever was compressed is the same. */
export function isCurrent(ifNoneMatch: string | undefined, tag: string): boolean {
  if (ifNoneMatch === undefined) return false;
  const opaque = tag.replace(/^W\//, '');
  return (
    ifNoneMatch.trim() === '*' || [...ifNoneMatch.matchAll(/(?:W\/)?("[^"]*")/g)].some(([, one]) => one === opaque)
  );
}

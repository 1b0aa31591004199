/** RFC 6901: where in a JSON document something is. */

/** A member name as a segment of a pointer. */
export function pointerSegment(name: string): string {
  return name.replaceAll('~', '~0').replaceAll('/', '~1');
}

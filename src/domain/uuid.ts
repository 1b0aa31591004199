/** What a UUID tells. RFC 9562. */

/** When a UUIDv7 was made, in milliseconds since the epoch; null for a UUID that does not tell. */
export function timeInUuid(uuid: string): number | null {
  if (uuid[14] !== '7') return null;
  return Number.parseInt(uuid.slice(0, 8) + uuid.slice(9, 13), 16);
}

/** What a UUID is, and what it tells. RFC 9562. */

const uuid = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i;

/** Whether a text can be a key's id at all: the database takes no other for one. */
export function isUuid(text: string): boolean {
  return uuid.test(text);
}

/** When a UUIDv7 was made, in milliseconds since the epoch; null for a UUID that does not tell. */
export function timeInUuid(uuid: string): number | null {
  if (uuid[14] !== '7') return null;
  return Number.parseInt(uuid.slice(0, 8) + uuid.slice(9, 13), 16);
}

/** Pages of lists: Limit, Marker, Truncated and NextMarker. */
import { KmsError } from './errors.ts';
import { optionalInteger, optionalString, type Parameters } from './parameters.ts';

export type PageLimits = { standard: number; most: number };

/**
 * Reads a page.
 * @param fetch gives items in order, from after a text (empty: from the start), at most so many.
 * @param position the text that a later page starts after.
 * @throws KmsError ValidationException, InvalidMarkerException
 */
export function page<Item>(
  parameters: Parameters,
  { standard, most }: PageLimits,
  fetch: (after: string, limit: number) => Item[],
  position: (item: Item) => string,
): { items: Item[]; page: { Truncated: boolean; NextMarker?: string } } {
  const limit = optionalInteger(parameters, 'Limit', 1, most) ?? standard;
  const marker = optionalString(parameters, 'Marker', { min: 1, max: 1024 });
  const found = fetch(marker === undefined ? '' : decodeMarker(marker), limit + 1);
  const items = found.slice(0, limit);
  const last = items.at(-1);
  if (found.length <= limit || last === undefined) return { items, page: { Truncated: false } };
  return { items, page: { Truncated: true, NextMarker: encodeMarker(position(last)) } };
}

/** The same over a list that is at hand. */
export function pageOf<Item>(parameters: Parameters, limits: PageLimits, items: Item[]) {
  const indexed = items.map((item, index) => ({ item, index }));
  const result = page(
    parameters,
    limits,
    (after, limit) => {
      const start = after === '' ? 0 : Number(after) + 1;
      return indexed.slice(start, start + limit);
    },
    ({ index }) => String(index),
  );
  return { items: result.items.map(({ item }) => item), page: result.page };
}

const prefix = 'm1:';

function encodeMarker(position: string): string {
  return Buffer.from(prefix + position).toString('base64url');
}

function decodeMarker(marker: string): string {
  const text = Buffer.from(marker, 'base64url').toString();
  if (!text.startsWith(prefix) || encodeMarker(text.slice(prefix.length)) !== marker) {
    throw new KmsError('InvalidMarkerException', 'Could not deserialize marker');
  }
  return text.slice(prefix.length);
}

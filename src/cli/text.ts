/** Values as words that fit in a line. */
import stringWidth from 'string-width';

/** Columns that a text takes on a terminal. */
export const widthOfText = (text: string): number => stringWidth(text);

const graphemes = new Intl.Segmenter();

/** A text that is not wider than `width`, with … for what is left out. */
export function cut(text: string, width: number): string {
  if (widthOfText(text) <= width) return text;
  let kept = '';
  let columns = 1;
  for (const { segment } of graphemes.segment(text)) {
    columns += widthOfText(segment);
    if (columns > width) break;
    kept += segment;
  }
  return `${kept}…`;
}

/** A value as a person reads it in a line. */
export function inWords(value: unknown): string {
  if (value === null || value === undefined) return '—';
  if (typeof value === 'string') return value === '' ? '""' : value;
  if (Array.isArray(value) && value.every((item) => typeof item === 'string')) return value.join(', ') || '—';
  return JSON.stringify(value);
}

/** Tags in a line. */
export function tagsInWords(tags: Record<string, string>): string {
  return Object.entries(tags)
    .map(([name, value]) => (value === '' ? name : `${name}=${value}`))
    .join(', ');
}

/** A time without what nobody needs of it. */
export const time = (iso: string | null): string =>
  iso === null ? '—' : iso.replace('T', ' ').replace(/\.\d+Z$/, 'Z');

/** `1 key`, `2 keys`. */
export const count = (number: number, noun: string): string => `${number} ${noun}${number === 1 ? '' : 's'}`;

/** What JSON.parse changes in silence. Source: RFC 8259, sections 4 (names that are not unique) and 6 (numbers). */
import { pointerSegment } from './pointer.ts';
import type { Violation, ViolationCode } from './values.ts';

type Open = { names: Set<string> | null; awaitsName: boolean; at: string | number };

const token = /"[^"\\]*(?:\\.[^"\\]*)*"|[{}[\],:]|[^\s{}[\],:"]+/g;
const integer = /^-?\d+$/;
/** What is wrong with a body is told up to so many places. */
const mostTold = 100;

/**
 * Members of which only the last would count, and numbers that would be rounded.
 * @param text valid JSON.
 * @param mostParts names, values, brackets and commas that are looked at: more of them are a fault of their own.
 */
export function lossesIn(text: string, mostParts = Number.POSITIVE_INFINITY): Violation[] {
  let parts = 0;
  const found: Violation[] = [];
  const open: Open[] = [];
  const tell = (code: ViolationCode, detail: string) => {
    const pointer = open.map(({ at }) => `/${pointerSegment(String(at))}`).join('');
    if (found.length < mostTold) found.push({ pointer, code, detail });
  };
  for (const [part] of text.matchAll(token)) {
    parts += 1;
    if (parts > mostParts) return [tooManyParts];
    const top = open.at(-1);
    if (part === '{') open.push({ names: new Set(), awaitsName: true, at: '' });
    else if (part === '[') open.push({ names: null, awaitsName: false, at: 0 });
    else if (part === '}' || part === ']') open.pop();
    else if (part === ',') goOn(top);
    else if (part.startsWith('"') && top?.awaitsName) {
      top.at = JSON.parse(part) as string;
      top.awaitsName = false;
      if (top.names?.has(top.at)) tell('duplicate_member', 'The object has more than one member of this name.');
      top.names?.add(top.at);
    } else if (isRounded(part))
      tell('inexact_number', `${part.slice(0, 40)} can't be kept exactly: write it as a string.`);
  }
  return found;
}

const tooManyParts: Violation = {
  pointer: '',
  code: 'too_many',
  detail: 'The body has more values in it than any key.',
};

function goOn(top: Open | undefined): void {
  if (top === undefined) return;
  if (top.names === null) top.at = Number(top.at) + 1;
  else top.awaitsName = true;
}

function isRounded(part: string): boolean {
  if (!/^[-\d]/.test(part)) return false;
  const number = Number(part);
  return !Number.isFinite(number) || (integer.test(part) && !Number.isSafeInteger(number));
}

/** A plan as a diff: what is added, changed, removed, and what would make a new key. */
import { diffLines } from 'diff';
import { type Io, paint, visible } from './io.ts';
import { fieldOf } from './problem.ts';
import type { Schemas } from './session.ts';
import { inWords } from './text.ts';

export type Plan = Schemas['Plan'];
type Change = Schemas['Change'];

/** Whether carrying it out would change anything, at Keyward or in KMS. */
export function hasSomethingToDo({ steps, changes, replacement, drift }: Plan): boolean {
  return steps.length > 0 || Object.keys(changes).length > 0 || replacement.length > 0 || drift.length > 0;
}

/** Whether carrying it out would be refused. */
export const isRefused = ({ refusals, replacement }: Plan): boolean => refusals.length + replacement.length > 0;

type Line = { sign: '+' | '-' | '~' | ' ' | '!'; text: string };

const styles: Record<Line['sign'], Parameters<typeof paint>[1]> = {
  '+': 'green',
  '-': 'red',
  '~': 'yellow',
  '!': ['red', 'bold'],
  ' ': 'dim',
};

const isDocument = (value: unknown): value is object =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

const pretty = (value: unknown): string => (value === null ? '' : `${JSON.stringify(value, null, 2)}\n`);

/** Lines of a document around which nothing changes. */
const context = 2;

/** A document line by line, without the parts that stay. */
function linesOfDocument(name: string, { before, after }: Change): Line[] {
  const all = diffLines(pretty(before), pretty(after)).flatMap(({ added, removed, value }): Line[] =>
    value
      .replace(/\n$/, '')
      .split('\n')
      .map((text) => ({ sign: added ? '+' : removed ? '-' : ' ', text })),
  );
  const changed = all.map(({ sign }) => sign !== ' ');
  const near = (index: number) => changed.slice(Math.max(0, index - context), index + context + 1).includes(true);
  const kept = all.flatMap((line, index): Line[] => {
    if (near(index)) return [line];
    return index > 0 && near(index - 1) ? [{ sign: ' ', text: '…' }] : [];
  });
  const sign = before === null ? '+' : after === null ? '-' : '~';
  return [{ sign, text: `${name}:` }, ...kept.map(({ sign, text }): Line => ({ sign, text: `  ${text}` }))];
}

function linesOfTags(name: string, { before, after }: Change): Line[] {
  const [old, now] = [before ?? {}, after ?? {}] as Record<string, string>[];
  const names = [...new Set([...Object.keys(old ?? {}), ...Object.keys(now ?? {})])].sort();
  return names.flatMap((tag) =>
    linesOfChange(`${name}.${tag}`, { before: old?.[tag] ?? null, after: now?.[tag] ?? null }),
  );
}

/** What a change of one field looks like. */
function linesOfChange(name: string, change: Change): Line[] {
  const { before, after } = change;
  if (JSON.stringify(before) === JSON.stringify(after)) return [];
  if (name === 'tags' || name === 'tags_all') return linesOfTags(name, change);
  if (isDocument(before) || isDocument(after)) return linesOfDocument(name, change);
  if (before === null) return [{ sign: '+', text: `${name}: ${inWords(after)}` }];
  if (after === null) return [{ sign: '-', text: `${name}: ${inWords(before)}` }];
  return [{ sign: '~', text: `${name}: ${inWords(before)} → ${inWords(after)}` }];
}

function print(io: Io, { sign, text }: Line): void {
  io.stdout.write(`    ${paint(io.stdout, styles[sign], visible(`${sign} ${text}`))}\n`);
}

/** What KMS fixes when it makes a key stands in red: it would be another key. */
function printChanges(io: Io, { changes, replacement }: Plan): void {
  const replaced = new Map(replacement.map(({ pointer = '', detail }) => [fieldOf(pointer), detail]));
  for (const [name, change] of Object.entries(changes)) {
    const lines = linesOfChange(name, change);
    const isReplaced = replaced.delete(name);
    for (const line of lines) {
      print(io, isReplaced ? { sign: '!', text: `${line.text}  (only a new key can have it)` } : line);
    }
  }
  for (const [name, detail] of replaced) print(io, { sign: '!', text: `${name}: ${detail}` });
}

/**
 * Prints the plan of one key.
 * @param verb what is done with it, `create` or `update`. @param name of the key, as a person knows it.
 */
export function printPlan(io: Io, verb: string, name: string, plan: Plan): void {
  const heads = { create: ['+', 'green'], import: ['<', 'cyan'], update: ['~', 'yellow'] } as const;
  const isReplacement = plan.replacement.length > 0;
  const [sign, style] = isReplacement ? (['!', 'red'] as const) : (heads[verb as keyof typeof heads] ?? heads.update);
  const words = isReplacement ? 'replace' : verb;
  io.stdout.write(`${paint(io.stdout, [style, 'bold'], `${sign} ${words} ${visible(name)}`)}\n`);
  printChanges(io, plan);
  for (const { field, desired, observed } of plan.drift) {
    const lines = linesOfChange(field, { before: observed, after: desired });
    for (const { sign, text } of lines) print(io, { sign, text: `${text}  (drift)` });
  }
  for (const { operation, code, detail } of plan.refusals) {
    print(io, { sign: '!', text: `KMS would refuse ${operation}: ${code}: ${detail}` });
  }
  const calls = plan.steps.map(({ operation }) => operation);
  if (calls.length > 0) io.stdout.write(`    ${paint(io.stdout, 'dim', `in KMS: ${calls.join(', ')}`)}\n`);
}

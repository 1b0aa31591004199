/**
 * HCL as Terraform reads it: texts, values, blocks. Source: HCL native syntax specification, "Template Expressions" and "Structural
 * Elements"; how lines are set is that of `terraform fmt`.
 */
import type { Json } from '../values.ts';

/** An expression that is no value, such as a reference. */
export class Expression {
  readonly text: string;

  constructor(text: string) {
    this.text = text;
  }
}

/** A value that is wanted as a text of JSON. */
export class Encoded {
  readonly value: Json;

  constructor(value: Json) {
    this.value = value;
  }
}

export type Value = Json | Expression | Encoded;
export type Attribute = [name: string, value: Value];

/** Attributes first, then blocks in it. */
export type Block = { type: string; labels?: string[]; attributes?: Attribute[]; blocks?: Block[] };

const step = '  ';

/** Characters that are written by their names. */
const named: Record<string, string> = { '\n': '\\n', '\r': '\\r', '\t': '\\t', '"': '\\"', '\\': '\\\\' };

/**
 * A text that is read as itself, whatever is in it: what begins a template or an escape is doubled, what can't be seen has its
 * number.
 */
function quoted(text: string): string {
  const escaped = text
    .replace(/["\\\n\r\t]/g, (character) => named[character] ?? character)
    .replace(/[$%](?=\{)/g, '$&$&')
    .replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, numbered);
  return `"${escaped}"`;
}

function numbered(character: string): string {
  const number = (character.codePointAt(0) ?? 0).toString(16).toUpperCase();
  return number.length > 4 ? `\\U${number.padStart(8, '0')}` : `\\u${number.padStart(4, '0')}`;
}

/** Any value. @param margin what stands before each of its lines but the first. */
function written(value: Value, margin = ''): string {
  if (value instanceof Expression) return value.text;
  if (value instanceof Encoded) return `jsonencode(${written(value.value, margin)})`;
  if (typeof value === 'string') return quoted(value);
  if (value === null || typeof value !== 'object') return String(value);
  if (Array.isArray(value)) return listOf(value, margin);
  const members = Object.entries(value);
  if (members.length === 0) return '{}';
  const lines = aligned(
    members.map(([name, member]) => [memberName(name), written(member, margin + step)]),
    margin + step,
  );
  return `{\n${lines}${margin}}`;
}

/** Words that are no names where they stand first. */
const words = new Set(['for', 'null', 'true', 'false']);

function memberName(name: string): string {
  return /^[A-Za-z][A-Za-z0-9_]*$/.test(name) && !words.has(name) ? name : quoted(name);
}

function listOf(values: Json[], margin: string): string {
  const isFlat = values.every((one) => one === null || typeof one !== 'object');
  if (isFlat) return `[${values.map((one) => written(one)).join(', ')}]`;
  const lines = values.map((one) => `${margin}${step}${written(one, margin + step)},\n`);
  return `[\n${lines.join('')}${margin}]`;
}

/** Names and values, a line each: those in lines that follow each other have their signs below each other. */
function aligned(entries: [name: string, text: string][], margin: string): string {
  const groups: [string, string][][] = [];
  let isOpen = false;
  for (const entry of entries) {
    const isLine = !entry[1].includes('\n');
    if (isLine && isOpen) groups.at(-1)?.push(entry);
    else groups.push([entry]);
    isOpen = isLine;
  }
  return groups
    .flatMap((group) => {
      const width = Math.max(...group.map(([name]) => [...name].length));
      return group.map(([name, text]) => `${margin}${name}${' '.repeat(width - [...name].length)} = ${text}\n`);
    })
    .join('');
}

/** A block with an empty line after it. */
export function blockOf(block: Block): string {
  return `${linesOf(block, '')}\n`;
}

function linesOf({ type, labels = [], attributes = [], blocks = [] }: Block, margin: string): string {
  const inner = margin + step;
  const values = attributes.map(([name, value]): [string, string] => [name, written(value, inner)]);
  const parts = [...(values.length > 0 ? [aligned(values, inner)] : []), ...blocks.map((one) => linesOf(one, inner))];
  const head = [type, ...labels.map(quoted)].join(' ');
  return `${margin}${head} {\n${parts.join('\n')}${margin}}\n`;
}

/** A comment, each line of it one. */
export function commentOf(text: string): string {
  return text
    .replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]+/gu, '\n')
    .split('\n')
    .map((line) => `# ${line}\n`)
    .join('');
}

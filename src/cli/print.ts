/** Tables, lists of fields, and lines of JSON. */
import Table from 'cli-table3';
import { wrapAnsi } from 'fast-wrap-ansi';
import { type Io, jsonLine, paint, visible, widthOf } from './io.ts';
import { cut, widthOfText } from './text.ts';

/** A column of a table: what it is called, and what it shows of a row. */
export type Column<Row> = {
  title: string;
  of: (row: Row) => string;
  /** It gives way where the terminal is narrow: down to so many columns. */
  least?: number;
  /** It is there only on a terminal of so many columns. */
  from?: number;
};

const gap = 2;

const noLines = Object.fromEntries(
  ['top', 'top-mid', 'top-left', 'top-right', 'bottom', 'bottom-mid', 'bottom-left', 'bottom-right']
    .concat(['left', 'left-mid', 'mid', 'mid-mid', 'right', 'right-mid'])
    .map((name) => [name, '']),
);

/** Widths of columns that fit in `width` together: those that may give way do, the widest first. */
function fit(natural: number[], least: (number | undefined)[], width: number): number[] {
  const widths = [...natural];
  let excess = widths.reduce((sum, one) => sum + one, 0) + gap * (widths.length - 1) - width;
  while (excess > 0) {
    const free = widths.map((one, index) => one - (least[index] ?? one));
    const widest = free.indexOf(Math.max(...free));
    if ((free[widest] ?? 0) <= 0) break;
    widths[widest] = (widths[widest] ?? 0) - 1;
    excess -= 1;
  }
  return widths;
}

/** A table without lines, no wider than the terminal. */
export function printTable<Row>(io: Io, columns: Column<Row>[], rows: Row[]): void {
  const width = widthOf(io.stdout);
  const shown = columns.filter(({ from }) => from === undefined || width >= from);
  const cells = rows.map((row) => shown.map(({ of }) => visible(of(row))));
  const natural = shown.map(({ title }, index) =>
    Math.max(title.length, ...cells.map((row) => widthOfText(row[index] ?? ''))),
  );
  const least = shown.map(({ least }) => least);
  const widths = fit(natural, least, width);
  const table = new Table({
    chars: { ...noLines, middle: ' '.repeat(gap) },
    style: { 'padding-left': 0, 'padding-right': 0, head: [], border: [], compact: true },
  });
  table.push(shown.map(({ title }, index) => paint(io.stdout, 'bold', cut(title, widths[index] ?? 0))));
  for (const row of cells) table.push(row.map((cell, index) => cut(cell, widths[index] ?? 0)));
  io.stdout.write(`${trimLines(table.toString())}\n`);
}

const trimLines = (text: string) => text.replaceAll(/ +$/gm, '');

/** Names and values below each other. */
export function printFields(io: Io, fields: [name: string, value: string][]): void {
  const width = Math.max(...fields.map(([name]) => name.length));
  for (const [name, value] of fields) {
    const lines = value.split('\n').map(visible);
    const indented = lines.join(`\n${' '.repeat(width + gap)}`);
    io.stdout.write(`${paint(io.stdout, 'bold', name.padEnd(width + gap))}${indented}\n`);
  }
}

/** What programs read: one value in one line. */
export function printJson(io: Io, value: unknown): undefined {
  io.stdout.write(`${jsonLine(value)}\n`);
}

/** A text in lines that fit in the terminal with what stands before them, broken between words. */
export function wrapped(io: Io, text: string, before = 0): string {
  if (io.stderr.isTTY !== true) return text;
  return wrapAnsi(text, Math.max(20, widthOf(io.stderr) - before), { trim: true });
}

/** A word to who runs it, which no program reads. */
export function say(io: Io, text: string): undefined {
  io.stderr.write(`${wrapped(io, text)}\n`);
}

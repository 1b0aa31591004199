/** What a run of the command line reads from and writes to. */
import { styleText } from 'node:util';

type Style = Parameters<typeof styleText>[0];

export type Output = NodeJS.WritableStream & { isTTY?: boolean; columns?: number };
export type Input = NodeJS.ReadableStream & { isTTY?: boolean };

export type Io = {
  stdin: Input;
  stdout: Output;
  stderr: Output;
  env: Record<string, string | undefined>;
  /** Ctrl-C. */
  interrupted: AbortSignal;
};

/** Colours a text for a stream: not where nobody looks, nor where NO_COLOR is set. */
export const paint = (stream: Output, style: Style, text: string): string => styleText(style, text, { stream });

/** Columns of a stream; those of a printed page where it has none. */
export const widthOf = (stream: Output): number => Math.max(40, stream.columns ?? 80);

/**
 * Characters that move the cursor, hide or turn text, or make a terminal do things: controls of both sets, marks of
 * direction, separators of lines, halves of surrogate pairs.
 */
const unsafe = /[\p{Cc}\p{Cs}\u061c\u200b\u200e\u200f\u2028-\u202e\u2060\u2066-\u2069\ufeff]/gu;

const short: Record<string, string> = { '\n': '\\n', '\r': '\\r', '\t': '\\t' };

/** A text as one line that is safe to show: what can't be seen stands as it is written in JSON. */
export function visible(text: string): string {
  return text.replaceAll(unsafe, (char) => short[char] ?? `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`);
}

/** As `visible`, of a text of several lines. */
export const visibleLines = (text: string): string => text.split('\n').map(visible).join('\n');

/** A value as one line of JSON that is safe to show, and the same value to who parses it. */
export const jsonLine = (value: unknown): string => visible(JSON.stringify(value));

/** The command line in this process, with streams of its own; it speaks to a service over HTTP only. */
import { clearLine, cursorTo, moveCursor } from 'node:readline';
import { PassThrough, Readable } from 'node:stream';
import { text } from 'node:stream/consumers';
import { stripVTControlCharacters } from 'node:util';
import { run } from '../../src/cli/program.ts';

// A runner of tests may ask for colours where there is no terminal.
delete process.env['FORCE_COLOR'];

export type Ran = { code: number; stdout: string; stderr: string; json: <Value>() => Value[] };

export type Surroundings = {
  env?: Record<string, string>;
  stdin?: string;
  /** Columns of the terminal that it prints on; none: it is no terminal. */
  columns?: number;
  interrupted?: AbortSignal;
};

/** How spinners and bars move the cursor. */
const movesOf = (stream: PassThrough) => ({
  cursorTo: (x: number, y?: number) => cursorTo(stream, x, y),
  moveCursor: (x: number, y: number) => moveCursor(stream, x, y),
  clearLine: (direction: -1 | 0 | 1) => clearLine(stream, direction),
});

/** An output that can be read when the run is over. */
function output(columns: number | undefined) {
  const stream: PassThrough & { isTTY?: boolean; columns?: number } = new PassThrough();
  if (columns !== undefined) Object.assign(stream, { isTTY: true, columns, ...movesOf(stream) });
  const content = text(stream);
  return { stream, content };
}

/** Runs `keyward …`. @returns what it printed, and its exit code. */
export async function keyward(
  args: string[],
  { env = {}, stdin = '', columns, interrupted }: Surroundings = {},
): Promise<Ran> {
  const [out, err] = [output(columns), output(columns)];
  const code = await run(args, {
    stdin: Readable.from([stdin]),
    stdout: out.stream,
    stderr: err.stream,
    env,
    interrupted: interrupted ?? new AbortController().signal,
  });
  out.stream.end();
  err.stream.end();
  const [stdout, stderr] = [await out.content, await err.content];
  const json = <Value>() =>
    stdout
      .split('\n')
      .filter(Boolean)
      .map((line) => JSON.parse(line) as Value);
  return { code, stdout, stderr, json };
}

/** What was printed, without colours. */
export const plain = stripVTControlCharacters;

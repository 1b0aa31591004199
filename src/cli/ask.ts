/** Questions to who sits at the terminal. */
import confirm from '@inquirer/confirm';
import input from '@inquirer/input';
import password from '@inquirer/password';
import { misuse } from './errors.ts';
import type { Io } from './io.ts';

const streams = ({ stdin, stderr, interrupted }: Io) => ({ input: stdin, output: stderr, signal: interrupted });

/** Whether there is somebody to ask. */
export const canAsk = ({ stdin, stderr }: Io): boolean => stdin.isTTY === true && stderr.isTTY === true;

/** @throws where there is nobody to ask, naming what says yes in place of a person. */
function needsPerson(io: Io): void {
  if (!canAsk(io))
    throw misuse('This asks before it goes on, and there is no terminal to ask on.', '--yes goes on unasked.');
}

/** A question that is answered with yes or no; no is what an empty answer means. */
export async function asksYes(io: Io, message: string): Promise<boolean> {
  needsPerson(io);
  return confirm({ message, default: false }, streams(io));
}

/** Has a person type a text that shows that this is what is meant. */
export async function typesIt(io: Io, message: string, wanted: string): Promise<boolean> {
  needsPerson(io);
  return (await input({ message }, streams(io))).trim() === wanted.trim();
}

/** A secret, not shown while it is typed. */
export async function asksSecret(io: Io, message: string): Promise<string> {
  return password({ message, mask: '*' }, streams(io));
}

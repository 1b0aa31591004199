/** How commands are made: each with its help, an example, and one way to run and to end. */
import { type Command, Option } from 'commander';
import { exitCodes } from './errors.ts';
import type { Io } from './io.ts';
import { openSession, type Session } from './session.ts';

/** One run of the command line. */
export type Context = { io: Io; session: Session | undefined; exitCode: number };

export type Help = { summary: string; examples: string[]; more?: string };

/** A group of commands: `keyward keys …`. */
export function group(parent: Command, name: string, summary: string): Command {
  return parent.command(name).summary(summary).description(`${summary}.`);
}

/** Without what was not given. */
export function given<Values extends object>(
  values: Values,
): { [Name in keyof Values]?: Exclude<Values[Name], undefined> } {
  return Object.fromEntries(Object.entries(values).filter(([, value]) => value !== undefined)) as object;
}

/** @param usage its name with its arguments. */
export function leaf(parent: Command, usage: string, { summary, examples, more }: Help): Command {
  const shown = examples.map((example) => `  $ ${example}`).join('\n');
  return parent
    .command(usage)
    .summary(summary)
    .description(`${summary}.${more === undefined ? '' : `\n\n${more}`}`)
    .addOption(new Option('--json', 'print JSON, a value in a line, as where the output is no terminal'))
    .addOption(new Option('--no-json', 'print tables and diffs, as on a terminal'))
    .addHelpText('after', `\nExample${examples.length === 1 ? '' : 's'}:\n${shown}`);
}

/** @returns an exit code; nothing: all went well. */
type Run<Options, Args extends unknown[]> = (
  session: Session,
  options: Options,
  ...args: Args
) => Promise<number | undefined>;

/** Runs a command at the service that is configured. */
export function act<Options extends object, Args extends unknown[] = string[]>(
  context: Context,
  command: Command,
  run: Run<Options, Args>,
): void {
  command.action(async (...given: unknown[]) => {
    const options = command.opts<Options & { json?: boolean }>();
    const args = given.slice(0, command.registeredArguments.length) as Args;
    context.session = await openSession(context.io, options);
    context.exitCode = (await run(context.session, options, ...args)) ?? exitCodes.ok;
  });
}

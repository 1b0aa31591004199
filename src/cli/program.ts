/** The command line as a whole: its commands, and how a run of it ends. */
import completion from '@bomb.sh/tab/commander';
import { Command, CommanderError } from 'commander';
import type { Context } from './command.ts';
import { group } from './command.ts';
import { addApply } from './commands/apply.ts';
import { addDrift } from './commands/drift.ts';
import { addExport } from './commands/export.ts';
import { addGrants } from './commands/grants.ts';
import { addImport } from './commands/import.ts';
import { addKeyChanges } from './commands/key-changes.ts';
import { addKeyReads } from './commands/keys.ts';
import { addLogin } from './commands/login.ts';
import { addProviders } from './commands/providers.ts';
import { addRelease } from './commands/release.ts';
import { addTerraform } from './commands/terraform.ts';
import { addTokens } from './commands/tokens.ts';
import { addUnmanagedKeys } from './commands/unmanaged.ts';
import { exitCodes, Failure, Refusal } from './errors.ts';
import { type Io, paint, widthOf } from './io.ts';
import { say } from './print.ts';
import { printFailure } from './problem.ts';

const variables = `
Environment:
  KEYWARD_URL     where the service is; else as keyward login kept it,
                  else http://127.0.0.1:3000
  KEYWARD_TOKEN   the token to show there
  NO_COLOR        no colours

Exit codes:
  0    done
  1    the service refused it, or it was not possible
  2    there is something to do: plans, and drift --exit-code
  64   the command was not given as it has to be
  130  interrupted

docs/cli.md tells the rest.`;

/** All commands, for one run. */
export function buildProgram(context: Context): Command {
  const { stdout, stderr } = context.io;
  const program = new Command('keyward')
    .description('AWS KMS keys, kept as their owners declared them.')
    .usage('<command> [options]')
    .exitOverride()
    .showHelpAfterError('Add --help to see what there is.')
    .showSuggestionAfterError()
    .configureOutput({
      writeOut: (text) => void stdout.write(text),
      writeErr: (text) => void stderr.write(text),
      getOutHelpWidth: () => widthOf(stdout),
      getErrHelpWidth: () => widthOf(stderr),
      outputError: (text, write) => write(text.replace(/^error: /, `${paint(stderr, ['red', 'bold'], 'keyward')}: `)),
    })
    .configureHelp({ minWidthToWrap: 24 })
    .addHelpText('after', variables);
  const keys = group(program, 'keys', 'Keys');
  addKeyReads(context, keys);
  addKeyChanges(context, keys);
  addGrants(context, keys);
  addRelease(context, keys);
  addImport(context, program);
  addUnmanagedKeys(context, program);
  addApply(context, program);
  addExport(context, program);
  addTerraform(context, program);
  addDrift(context, program);
  addProviders(context, program);
  addTokens(context, program);
  addLogin(context, program);
  completion(program, { completionCommandName: 'completion' });
  return program;
}

function codeOf(error: unknown): number {
  if (error instanceof CommanderError) return error.exitCode === 0 ? exitCodes.ok : exitCodes.usage;
  return error instanceof Failure ? error.exitCode : exitCodes.failed;
}

function isExpected(error: unknown): boolean {
  return error instanceof Failure || error instanceof Refusal;
}

/**
 * Runs the command line.
 * @returns its exit code.
 */
export async function run(args: string[], io: Io): Promise<number> {
  const context: Context = { io, session: undefined, exitCode: exitCodes.ok };
  try {
    await buildProgram(context).parseAsync(args, { from: 'user' });
    return context.exitCode;
  } catch (error) {
    if (io.interrupted.aborted || (error as Error).name === 'ExitPromptError') {
      const underWay = context.session?.underWay;
      say(io, `Interrupted.${underWay === undefined ? '' : ` ${underWay}`}`);
      return exitCodes.interrupted;
    }
    // Commander has said it already.
    if (error instanceof CommanderError) return codeOf(error);
    if (!isExpected(error) && io.env['KEYWARD_DEBUG'] !== undefined) throw error;
    printFailure(io, error, args.includes('--json'));
    return codeOf(error);
  }
}

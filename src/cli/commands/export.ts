/** keyward export: what is declared of all keys, for apply, for Git, or for another installation. */
import type { Command } from 'commander';
import { stringify } from 'yaml';
import { collect } from '../arguments.ts';
import { act, type Context, leaf } from '../command.ts';
import { Failure } from '../errors.ts';
import { visibleLines } from '../io.ts';
import { printJson, say } from '../print.ts';
import { rawAnswer, type Schemas, type Session } from '../session.ts';
import { count } from '../text.ts';
import { tagFilter } from './keys.ts';

type Options = { provider?: string; tag?: string[]; json?: boolean };
type Declared = Partial<Schemas['ExportedKey']>;

/** The lines of an answer, as they come. @throws Failure where it breaks off: half of an export is none. */
async function* linesOf(answer: Response): AsyncGenerator<string> {
  let rest = '';
  try {
    const pieces = answer.body?.pipeThrough(new TextDecoderStream()) ?? [];
    for await (const piece of pieces) {
      const lines = (rest + piece).split('\n');
      rest = lines.pop() ?? '';
      yield* lines;
    }
  } catch (error) {
    throw new Failure(`The answer broke off, so that this is not all: ${(error as Error).message}`);
  }
  if (rest !== '') yield rest;
}

/** A document of YAML without what is null anyway when it is left out. */
function documentOf(declared: Declared): string {
  const said = Object.fromEntries(Object.entries(declared).filter(([, value]) => value !== null));
  return `---\n${stringify(said)}`;
}

async function exportKeys(session: Session, options: Options): Promise<undefined> {
  const { io } = session;
  const { provider, tag = [], json = false } = options;
  const query = new URLSearchParams(tag.map((one): [string, string] => ['tag', tagFilter(one)]));
  if (provider !== undefined) query.set('provider', provider);
  const answer = await rawAnswer(session, `/v1/keys/export?${query}`, { method: 'GET' }, async (response) => response);
  let number = 0;
  for await (const line of linesOf(answer)) {
    const declared: Declared = JSON.parse(line);
    if (json) printJson(io, declared);
    else io.stdout.write(io.stdout.isTTY ? visibleLines(documentOf(declared)) : documentOf(declared));
    number += 1;
  }
  const warning = answer.headers.get('keyward-warning');
  if (warning !== null) say(io, visibleLines(warning));
  say(io, `${count(number, 'key')}.`);
}

export function addExport(context: Context, program: Command): void {
  const command = leaf(program, 'export', {
    summary: 'Write what is declared of all keys as YAML, for keyward apply',
    more: 'A document for each key, on a terminal and elsewhere; with --json a line for each key.',
    examples: ['keyward export --tag team=payments > keys.yaml'],
  })
    .option('--provider <name>', 'only keys of this account and Region')
    .option('--tag <name=value>', 'only keys with this tag; the value may be left out; can be given again', collect);
  act<Options>(context, command, exportKeys);
}

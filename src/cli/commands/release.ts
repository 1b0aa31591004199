/** keyward keys release: the way out. */
import type { Command } from 'commander';
import { collect } from '../arguments.ts';
import { asksYes } from '../ask.ts';
import { act, type Context, leaf } from '../command.ts';
import { readDeclarations } from '../documents.ts';
import { exitCodes, Failure, misuse } from '../errors.ts';
import { visible } from '../io.ts';
import { printJson, say } from '../print.ts';
import { printPlaces } from '../problem.ts';
import { openBar } from '../progress.ts';
import { dataOf, type Schemas, type Session } from '../session.ts';
import { count } from '../text.ts';

type Options = { file?: string[]; yes?: boolean };
type Released = Schemas['KeyReleased']['items'][number];

/** Keys in one request. */
const batchSize = 100;

async function releaseAll(session: Session, ids: string[]): Promise<Released[]> {
  const bar = openBar(session.io);
  const items: Released[] = [];
  session.underWay = 'Keys that were asked for are let go of all the same; keyward keys list tells which are left.';
  try {
    for (let next = 0; next < ids.length; next += batchSize) {
      bar.update(items.length, ids.length, 'released');
      const body = { ids: ids.slice(next, next + batchSize) };
      items.push(...(await dataOf(session, session.api.POST('/v1/keys/release', { body }))).items);
    }
    bar.update(items.length, ids.length, 'released');
  } finally {
    bar.stop();
  }
  return items;
}

async function release(session: Session, options: Options, given: string[]): Promise<number> {
  const { io, json } = session;
  const { file: files = [], yes = false } = options;
  const declared = (await Promise.all(files.map((file) => readDeclarations(io, file)))).flat();
  const ids = [...given, ...declared.map(({ value }) => String(value['id']))];
  if (ids.length === 0) throw misuse('No key is named.', 'keyward keys release --help says how.');
  const question = `Stop managing ${count(ids.length, 'key')}, and leave ${ids.length === 1 ? 'it' : 'them'} in KMS?`;
  if (!yes && !(await asksYes(io, question))) throw new Failure('Nothing was changed.');
  const items = await releaseAll(session, ids);
  if (json) for (const item of items) printJson(io, item);
  const failed = items.filter(({ outcome }) => outcome === 'failed');
  if (failed.length > 0 && !json) {
    printPlaces(
      io,
      failed.map(({ id, problem }) => [id, problem?.detail ?? '']),
    );
  }
  const pending = items.filter(({ pending }) => pending).length;
  const later = pending === 0 ? '' : `; the ownership tags of ${pending} are still to be removed`;
  say(
    io,
    `${items.length - failed.length} released${failed.length > 0 ? `, ${failed.length} failed` : ''}${visible(later)}.`,
  );
  return failed.length > 0 ? exitCodes.failed : exitCodes.ok;
}

export function addRelease(context: Context, keys: Command): void {
  const command = leaf(keys, 'release [id...]', {
    summary: 'Stop managing keys and leave them in KMS as they are',
    more: 'By their ids, or by the files that keyward export wrote. keyward apply takes them back.',
    examples: ['keyward keys release -f keys.yaml --yes'],
  })
    .option('-f, --file <file>', 'keys that a file declares; can be given again', collect)
    .option('--yes', 'do not ask');
  act<Options, [string[]]>(context, command, release);
}

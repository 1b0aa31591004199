/** keyward drift: what differs between what is declared and what KMS has. */
import type { Command } from 'commander';
import { act, type Context, given, leaf } from '../command.ts';
import { exitCodes } from '../errors.ts';
import type { Key } from '../keys.ts';
import { readList } from '../lists.ts';
import { type Column, printJson, printTable, say } from '../print.ts';
import { dataOf, type Schemas, type Session } from '../session.ts';
import { count, inWords, time } from '../text.ts';

type Difference = { id: string; provider: string; description: string } & Schemas['Drift'];

const columns: Column<Difference>[] = [
  { title: 'KEY', of: ({ id }) => id },
  { title: 'FIELD', of: ({ field }) => field, least: 9 },
  { title: 'DECLARED', of: ({ desired }) => inWords(desired), least: 9 },
  { title: 'IN KMS', of: ({ observed }) => inWords(observed), least: 9 },
  { title: 'SINCE', of: ({ since }) => time(since), from: 110 },
];

const differencesOf = ({ id, provider, description, status }: Key): Difference[] =>
  status.drift.map((difference) => ({ id, provider, description, ...difference }));

async function drift(
  session: Session,
  options: { provider?: string; exitCode?: boolean },
): Promise<number | undefined> {
  const { io, json, api } = session;
  const { provider } = options;
  const filters = { state: ['drifted' as const], ...given({ provider }) };
  const found: Difference[] = [];
  const read = (page: { limit: number; cursor?: string }) =>
    dataOf<Schemas['KeyList']>(session, api.GET('/v1/keys', { params: { query: { ...filters, ...page } } }));
  await readList(read, Number.POSITIVE_INFINITY, (keys) => {
    found.push(...keys.flatMap(differencesOf));
  });
  if (json) for (const difference of found) printJson(io, difference);
  else if (found.length === 0) say(io, 'KMS has what is declared.');
  else {
    printTable(io, columns, found);
    const keys = new Set(found.map(({ id }) => id)).size;
    say(
      io,
      `${count(found.length, 'difference')} in ${count(keys, 'key')}. See docs/drift.md for what can be done about it.`,
    );
  }
  return options.exitCode && found.length > 0 ? exitCodes.toDo : undefined;
}

export function addDrift(context: Context, program: Command): void {
  const command = leaf(program, 'drift', {
    summary: 'List what KMS has that is not as declared',
    examples: ['keyward drift --exit-code'],
  })
    .option('--provider <name>', 'only keys of this account and Region')
    .option('--exit-code', 'end with 2 where there is drift');
  act(context, command, drift);
}

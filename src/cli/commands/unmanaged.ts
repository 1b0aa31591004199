/** keyward unmanaged-keys list: what KMS has that Keyward does not manage. */
import type { Command } from 'commander';
import { collect } from '../arguments.ts';
import { act, type Context, given, group, leaf } from '../command.ts';
import { positiveNumber, printList } from '../lists.ts';
import { type Column, say } from '../print.ts';
import { dataOf, type Schemas, type Session } from '../session.ts';
import { tagsInWords, time } from '../text.ts';
import { tagFilter } from './keys.ts';

const columns: Column<Schemas['UnmanagedKey']>[] = [
  { title: 'KEY ID', of: ({ key_id }) => key_id },
  { title: 'STATE', of: ({ key_state }) => key_state ?? '—', least: 7 },
  { title: 'PROVIDER', of: ({ provider }) => provider, least: 8 },
  { title: 'DESCRIPTION', of: ({ description }) => description ?? '—', least: 11 },
  { title: 'TAGS', of: ({ tags }) => tagsInWords(tags ?? {}), least: 8, from: 100 },
];

type Options = {
  provider?: string;
  tag?: string[];
  alias?: string;
  q?: string;
  include?: Schemas['UnmanagedKind'][];
  limit?: number;
};

async function list(session: Session, options: Options): Promise<undefined> {
  const { provider, tag, alias, q, include, limit } = options;
  const read = (page: { limit: number; cursor?: string }) => {
    const query = { ...given({ provider, tag: tag?.map(tagFilter), alias, q, include }), ...page };
    return dataOf<Schemas['UnmanagedKeyList']>(session, session.api.GET('/v1/unmanaged-keys', { params: { query } }));
  };
  const items = await printList(session, read, {
    columns,
    limit,
    none: 'There is no such key, as far as Keyward knows.',
  });
  const [first] = items.map(({ observed_at }) => observed_at).sort();
  if (first !== undefined && !session.json) say(session.io, `As KMS told at ${time(first)}, or later.`);
}

export function addUnmanagedKeys(context: Context, program: Command): void {
  const unmanaged = group(program, 'unmanaged-keys', 'Keys in KMS that Keyward does not manage');
  const listing = leaf(unmanaged, 'list', {
    summary: 'List keys in KMS that Keyward does not manage',
    examples: ['keyward unmanaged-keys list --tag team=payments'],
  })
    .option('--provider <name>', 'only keys of this account and Region')
    .option('--tag <name=value>', 'only keys with this tag; the value may be left out; can be given again', collect)
    .option('--alias <name>', 'only keys with this alias')
    .option('--q <text>', 'only keys with this text in them')
    .option('--include <kind>', 'aws or replicas, which are left out else; can be given again', collect)
    .option('--limit <number>', 'how many at most', positiveNumber);
  act<Options>(context, listing, list);
}

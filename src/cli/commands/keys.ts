/** keyward keys list, get and history. */
import type { Command } from 'commander';
import type { paths } from '../../generated/openapi.ts';
import { collect } from '../arguments.ts';
import { act, type Context, given, leaf } from '../command.ts';
import { findKey, type Key } from '../keys.ts';
import { positiveNumber, printList } from '../lists.ts';
import { type Column, printJson } from '../print.ts';
import { dataOf, type Schemas, type Session } from '../session.ts';
import { printKey } from '../show-key.ts';
import { inWords, tagsInWords, time } from '../text.ts';

type Query = NonNullable<paths['/v1/keys']['get']['parameters']['query']>;

type Filters = {
  state?: Query['state'];
  tag?: string[];
  provider?: string;
  keyUsage?: Query['key_usage'];
  customerMasterKeySpec?: Query['customer_master_key_spec'];
  driftPolicy?: Query['drift_policy'];
  q?: string;
  sort?: Query['sort'];
  limit?: number;
};

/** `name=value` or `name`, as the API has it: the first colon ends a name. */
export const tagFilter = (text: string): string => {
  const [name = '', ...value] = text.split('=');
  const escaped = name.replaceAll(':', '\\:');
  return value.length === 0 ? escaped : `${escaped}:${value.join('=')}`;
};

const columns: Column<Key>[] = [
  { title: 'ID', of: ({ id }) => id },
  { title: 'STATE', of: ({ status }) => (status.held ? `${status.state} (held)` : status.state) },
  { title: 'PROVIDER', of: ({ provider }) => provider, least: 8 },
  { title: 'SPEC', of: ({ customer_master_key_spec }) => customer_master_key_spec, from: 120 },
  { title: 'DESCRIPTION', of: ({ description }) => description, least: 11 },
  { title: 'TAGS', of: ({ tags }) => tagsInWords(tags), least: 8, from: 100 },
];

function query({ state, tag, provider, keyUsage, customerMasterKeySpec, driftPolicy, q, sort }: Filters) {
  return given({
    state,
    tag: tag?.map(tagFilter),
    provider,
    key_usage: keyUsage,
    customer_master_key_spec: customerMasterKeySpec,
    drift_policy: driftPolicy,
    q,
    sort,
  });
}

async function list(session: Session, options: Filters): Promise<undefined> {
  const filters = query(options);
  const read = (page: { limit: number; cursor?: string }) =>
    dataOf<Schemas['KeyList']>(session, session.api.GET('/v1/keys', { params: { query: { ...filters, ...page } } }));
  await printList(session, read, { columns, limit: options.limit, none: 'There is no such key.' });
}

async function get(session: Session, _options: object, id: string): Promise<undefined> {
  const { key } = await findKey(session, id);
  if (session.json) printJson(session.io, key);
  else printKey(session.io, key);
}

const fieldsOf = (changes: Schemas['Changes']): string => Object.keys(changes).join(', ');

const revisionColumns = ({ io }: Session): Column<Schemas['Revision']>[] => [
  { title: 'GEN', of: ({ generation }) => String(generation) },
  { title: 'WHEN', of: ({ created_at }) => time(created_at) },
  {
    title: 'WHO',
    of: ({ actor, on_behalf_of }) => actor + (on_behalf_of === null ? '' : ` for ${on_behalf_of}`),
    least: 8,
  },
  { title: 'WHAT', of: ({ origin }) => origin },
  { title: 'OUTCOME', of: ({ outcome }) => outcome },
  { title: 'FIELDS', of: ({ changes }) => fieldsOf(changes), least: 10 },
  {
    title: 'ERROR',
    of: ({ error }) => error?.message ?? '',
    least: 5,
    from: io.stdout.columns === undefined ? 0 : 120,
  },
];

const eventColumns: Column<Schemas['Event']>[] = [
  { title: 'WHEN', of: ({ created_at }) => time(created_at) },
  { title: 'TYPE', of: ({ type }) => type },
  { title: 'WHO', of: ({ actor }) => actor, least: 8 },
  { title: 'GEN', of: ({ generation }) => String(generation) },
  { title: 'DATA', of: ({ data, after }) => inWords(after ?? data), least: 8 },
];

async function history(
  session: Session,
  { events = false, limit }: { events?: boolean; limit?: number },
  name: string,
): Promise<undefined> {
  const { key } = await findKey(session, name);
  const of = { path: { id: key.id } };
  const { api } = session;
  if (events) {
    const read = (query: object) => dataOf(session, api.GET('/v1/keys/{id}/events', { params: { ...of, query } }));
    await printList(session, read, { columns: eventColumns, limit, none: 'There is no event.' });
    return;
  }
  const read = (query: object) => dataOf(session, api.GET('/v1/keys/{id}/revisions', { params: { ...of, query } }));
  await printList(session, read, { columns: revisionColumns(session), limit, none: 'There is no revision.' });
}

/** Adds the commands that read keys. */
export function addKeyReads(context: Context, keys: Command): void {
  const listing = leaf(keys, 'list', {
    summary: 'List keys, newest first',
    examples: ['keyward keys list --tag team=payments', 'keyward keys list --state failed --state drifted --json'],
  })
    .option('--state <state>', 'only keys in this state; can be given again', collect)
    .option('--tag <name=value>', 'only keys with this tag; the value may be left out; can be given again', collect)
    .option('--provider <name>', 'only keys of this account and Region')
    .option('--key-usage <usage>', 'only keys for this use')
    .option('--customer-master-key-spec <spec>', 'only keys of this kind')
    .option('--drift-policy <policy>', 'only keys with this policy')
    .option('--q <text>', 'only keys with this text in description, ARN, key id or tags')
    .option('--sort <field>', 'created_at, updated_at, description or state; with - before it: descending')
    .option('--limit <number>', 'how many at most; else 100 on a terminal, and all of them elsewhere', positiveNumber);
  act<Filters>(context, listing, list);

  const getting = leaf(keys, 'get <key>', {
    summary: 'Show a key: its id, its id in KMS, its ARN, or an alias',
    examples: ['keyward keys get 01980e6c-7a4b-7c1e-9f00-3b5e8d1c2a10'],
  });
  act(context, getting, get);

  const past = leaf(keys, 'history <key>', {
    summary: 'Show who declared what, and how it ended',
    examples: ['keyward keys history 01980e6c-7a4b-7c1e-9f00-3b5e8d1c2a10 --events'],
  })
    .option('--events', 'every event, each write to KMS among them')
    .option('--limit <number>', 'how many at most', positiveNumber);
  act(context, past, history);
}

/** keyward tokens list, create and revoke. */
import type { Command } from 'commander';
import { collect, collectTag } from '../arguments.ts';
import { act, type Context, given, group, leaf } from '../command.ts';
import { Failure } from '../errors.ts';
import { printList, readList } from '../lists.ts';
import { type Column, printJson, say } from '../print.ts';
import { dataOf, type Schemas, type Session } from '../session.ts';
import { time } from '../text.ts';

type Token = Schemas['Token'];
type Wanted = { role?: string; provider?: string[]; tag?: Record<string, string>; expiresAt?: string };

const columns: Column<Token>[] = [
  { title: 'NAME', of: ({ name }) => name, least: 10 },
  { title: 'EXPIRES', of: ({ expires_at }) => (expires_at === null ? 'never' : time(expires_at)) },
  { title: 'LAST USED', of: ({ last_used_at }) => time(last_used_at) },
  { title: 'CREATED BY', of: ({ created_by }) => created_by, least: 10 },
  { title: 'ID', of: ({ id }) => id, from: 130 },
];

const reader = (session: Session) => (query: { limit: number; cursor?: string }) =>
  dataOf<Schemas['TokenList']>(session, session.api.GET('/v1/tokens', { params: { query } }));

async function list(session: Session): Promise<undefined> {
  await printList(session, reader(session), { columns, limit: undefined, none: 'There is no token.' });
}

async function create(session: Session, options: Wanted, name: string): Promise<undefined> {
  const { role, provider, tag, expiresAt } = options;
  const body = { name, ...given({ role, providers: provider, tags: tag, expires_at: expiresAt }) };
  const made = await dataOf(session, session.api.POST('/v1/tokens', { body }));
  if (session.json) return printJson(session.io, made);
  say(session.io, `Token ${made.name}, expires: ${made.expires_at ?? 'never'}. It is shown this once:`);
  session.io.stdout.write(`${made.token}\n`);
}

async function revoke(session: Session, _options: object, wanted: string): Promise<undefined> {
  const all: Token[] = [];
  await readList(reader(session), Number.POSITIVE_INFINITY, (items) => {
    all.push(...items);
  });
  const token = all.find(({ id, name }) => id === wanted || name === wanted);
  if (token === undefined)
    throw new Failure(`There is no token ${wanted}.`, { hint: 'keyward tokens list tells which there are.' });
  await dataOf(session, session.api.DELETE('/v1/tokens/{id}', { params: { path: { id: token.id } } }));
  say(session.io, `Revoked ${token.name}.`);
}

export function addTokens(context: Context, program: Command): void {
  const tokens = group(program, 'tokens', 'API tokens');
  act(context, leaf(tokens, 'list', { summary: 'List tokens', examples: ['keyward tokens list'] }), list);

  const creating = leaf(tokens, 'create <name>', {
    summary: 'Make a token, which is shown once',
    examples: ['keyward tokens create portal --role editor --provider default --tag team=payments'],
  })
    .option('--role <role>', 'viewer, operator, editor, admin, or one of your own')
    .option('--provider <name>', 'only there; can be given again', collect)
    .option('--tag <name=value>', 'only keys with this tag; can be given again', collectTag)
    .option('--expires-at <time>', 'RFC 3339, such as 2027-01-01T00:00:00Z; else never');
  act<Wanted>(context, creating, create);

  const revoking = leaf(tokens, 'revoke <token>', {
    summary: 'Revoke a token, by its name or id',
    examples: ['keyward tokens revoke portal'],
  });
  act(context, revoking, revoke);
}

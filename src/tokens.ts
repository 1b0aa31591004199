/** Makes, lists and revokes API tokens on the host: `npm run tokens -- create --name bootstrap --role admin`. */
import { parseArgs } from 'node:util';
import { ConfigError } from './config.ts';
import { unlimited } from './domain/access.ts';
import { withDatabase } from './host.ts';
import { createToken, listTokens, revokeToken } from './services/access/tokens.ts';
import { ProblemError } from './services/problems.ts';

const usage = `npm run tokens -- create --name NAME [--role ROLE] [--provider NAME]… [--tag NAME=VALUE]… [--expires-at TIME]
npm run tokens -- list
npm run tokens -- revoke --name NAME`;

/** Whoever may do this may read the whole database anyway. */
const by = { actor: 'host', requestId: 'none', rights: { access: unlimited, permission: 'tokens:write' as const } };

const options = {
  name: { type: 'string' },
  role: { type: 'string' },
  provider: { type: 'string', multiple: true },
  tag: { type: 'string', multiple: true },
  'expires-at': { type: 'string' },
} as const;

type Database = Parameters<typeof createToken>[0];

async function main(): Promise<void> {
  const { positionals, values } = parseArgs({ options, allowPositionals: true });
  const [command] = positionals;
  const isKnown = positionals.length === 1 && ['create', 'list', 'revoke'].includes(command ?? '');
  if (!isKnown || (command !== 'list' && values.name === undefined)) throw new ConfigError(`usage:\n${usage}`);
  await withDatabase(async (database) => {
    if (command === 'create') await create(database, values);
    else if (command === 'revoke') await revoke(database, values.name ?? '');
    else for (const token of await listTokens(database)) process.stdout.write(`${JSON.stringify(token)}\n`);
  });
}

type Values = { name?: string; role?: string; provider?: string[]; tag?: string[]; 'expires-at'?: string };

async function create(database: Database, values: Values): Promise<void> {
  const tags = values.tag?.map((tag): [string, string] => {
    const [name = '', ...value] = tag.split('=');
    return [name, value.join('=')];
  });
  const expiresAt = values['expires-at'] ?? null;
  if (expiresAt !== null && Number.isNaN(Date.parse(expiresAt))) throw new ConfigError('--expires-at: it is no time');
  const { token } = await createToken(
    database,
    {
      name: values.name ?? '',
      role: values.role ?? null,
      providers: values.provider ?? null,
      tags: tags === undefined ? null : Object.fromEntries(tags),
      expires_at: expiresAt,
    },
    by,
  );
  process.stdout.write(`${token}\n`);
}

async function revoke(database: Database, name: string): Promise<void> {
  const token = (await listTokens(database)).find((one) => one.name === name);
  if (token === undefined) throw new ConfigError(`there is no token ${name}`);
  await revokeToken(database, token.id, by);
  process.stdout.write(`Revoked ${name}.\n`);
}

try {
  await main();
} catch (error) {
  const isExpected = error instanceof ConfigError || error instanceof ProblemError;
  const details = error instanceof ProblemError ? (error.errors ?? []).map(({ detail }) => ` ${detail}`).join('') : '';
  process.stderr.write(`${isExpected ? `${error.message}${details}` : error}\n`);
  process.exitCode = 1;
}

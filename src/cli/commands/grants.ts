/** keyward keys grants and revoke-grant. */
import type { Command } from 'commander';
import { act, type Context, given, leaf } from '../command.ts';
import { Failure } from '../errors.ts';
import { findKey, type Key } from '../keys.ts';
import { positiveNumber, printList } from '../lists.ts';
import { type Column, printJson, say } from '../print.ts';
import { answerOf, dataOf, type Schemas, type Session } from '../session.ts';
import { time } from '../text.ts';

type Grant = Schemas['KeyGrant'];

const columns: Column<Grant>[] = [
  { title: 'GRANT', of: ({ grant_id }) => grant_id },
  { title: 'TO', of: (grant) => grant.grantee_principal ?? grant.grantee_service_principal ?? '', least: 8 },
  { title: 'OPERATIONS', of: ({ operations }) => operations.join(', '), least: 10 },
  { title: 'NAME', of: ({ name }) => name ?? '', least: 4, from: 120 },
  { title: 'MADE', of: ({ creation_date }) => time(creation_date), from: 120 },
];

async function list(
  session: Session,
  { limit, granteePrincipal }: { limit?: number; granteePrincipal?: string },
  name: string,
): Promise<undefined> {
  const { key } = await findKey(session, name);
  const filters = given({ grantee_principal: granteePrincipal });
  const read = (page: object) => {
    const params = { path: { id: key.id }, query: { ...filters, ...page } };
    return dataOf(session, session.api.GET('/v1/keys/{id}/grants', { params }));
  };
  await printList(session, read, { columns, limit, none: 'The key has no such grant.' });
}

async function revoke(session: Session, _options: object, name: string, grant_id: string): Promise<undefined> {
  const { key } = await findKey(session, name);
  session.underWay = `It may have been recorded all the same: keyward keys grants ${key.id} tells.`;
  const params = { path: { id: key.id, grant_id } };
  const call = session.api.POST('/v1/keys/{id}/grants/{grant_id}/revoke', { params });
  const { data, response } = await answerOf<Key>(session, call);
  session.underWay = undefined;
  if (response.status === 202) throw new Failure(notYet(key));
  if (session.json) return printJson(session.io, data);
  say(session.io, `Revoked the grant ${grant_id} of key ${key.id}.`);
}

function notYet({ id }: Key): string {
  return `KMS has not revoked it yet. Keyward goes on: keyward keys history ${id} --events tells how it ended.`;
}

/** Adds the commands for the grants of a key. */
export function addGrants(context: Context, keys: Command): void {
  const example = '01980e6c-7a4b-7c1e-9f00-3b5e8d1c2a10';
  const listing = leaf(keys, 'grants <key>', {
    summary: 'List the grants of a key, as KMS does',
    examples: [`keyward keys grants ${example}`],
  })
    .option('--grantee-principal <arn>', 'only grants to this principal')
    .option('--limit <number>', 'how many at most', positiveNumber);
  act<{ limit?: number; granteePrincipal?: string }>(context, listing, list);

  const revoking = leaf(keys, 'revoke-grant <key> <grant>', {
    summary: 'Revoke a grant of a key',
    examples: [`keyward keys revoke-grant ${example} 0c237476b39f8bc44e45212e08498fbe3151305030726c0590dd8d3e9f3d6a60`],
  });
  act(context, revoking, revoke);
}

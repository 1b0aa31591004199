/** API tokens: made, listed and revoked. */
import { hash, randomBytes } from 'node:crypto';
import { v7 as uuidv7 } from 'uuid';
import type { ApiToken, Database, Transaction } from '../../database/client.ts';
import { announceAccessChange } from '../../database/notifications.ts';
import { tokenOf } from '../../domain/api-token.ts';
import { isUuid } from '../../domain/uuid.ts';
import type { NewToken, Token, TokenCreate, TokenList } from '../../schemas/access.ts';
import type { PageQuery } from '../../schemas/history.ts';
import { anyName, pageAfter } from '../cursors.ts';
import { type Doer, recordEvent } from '../history/log.ts';
import { conflict, invalidInput, ProblemError } from '../problems.ts';
import { type Asker, assertMayGive, giveRole, takeFrom } from './bindings.ts';
import { keepingAnAdmin, type WaysIn } from './last-admin.ts';

type Stored = { database: Database };

/** What is kept of a token. Nobody can guess 256 bits: a digest without salt or stretching does. */
export function digestOf(token: string): string {
  return hash('sha256', token);
}

/**
 * Makes a token, and gives it a role where one is named.
 * @throws ProblemError conflict when there is one of that name; invalid-input; forbidden for a role that gives more than the
 * caller has.
 */
export async function createToken({ database }: Stored, wanted: TokenCreate, by: Asker): Promise<NewToken> {
  const { role, providers, tags, name } = wanted;
  const expiresAt = wanted.expires_at == null ? null : new Date(wanted.expires_at);
  if (expiresAt !== null && expiresAt.getTime() <= Date.now()) {
    throw invalidInput([{ pointer: '/expires_at', code: 'out_of_range', detail: 'It must be in the future.' }]);
  }
  if (role == null && (providers != null || tags != null)) {
    throw invalidInput([{ pointer: '/role', code: 'required', detail: 'Providers and tags limit a role: name one.' }]);
  }
  const token = tokenOf(randomBytes(32).toString('base64url'));
  const row = await database.prisma.$transaction(async (transaction) => {
    if (role != null) await assertMayGive(transaction, role, by, '/role');
    const made = await insertToken(transaction, { name, digest: digestOf(token), expiresAt }, by);
    if (made === null)
      throw conflict(`There is a token ${JSON.stringify(name)} already: revoke it, or take another name.`);
    if (role != null)
      await giveRole(
        transaction,
        { role, subject: { token: name }, providers: providers ?? null, tags: tags ?? null },
        by,
      );
    return made;
  });
  return { ...toToken(row), token };
}

/** null: there is one of that name or digest. */
async function insertToken(
  transaction: Transaction,
  { name, digest, expiresAt }: { name: string; digest: string; expiresAt: Date | null },
  by: Doer,
): Promise<ApiToken | null> {
  const [made] = await transaction.apiToken.createManyAndReturn({
    data: [{ id: uuidv7(), name, digest, expires_at: expiresAt, created_by: by.actor }],
    skipDuplicates: true,
  });
  if (made === undefined) return null;
  const data = { name, expires_at: expiresAt?.toISOString() ?? null };
  await recordEvent(transaction, { type: 'token.created', data }, by);
  await announceAccessChange(transaction);
  return made;
}

/**
 * Takes an operator's token for the first admin's, where there is none yet; each once, so that one that was revoked does not come
 * back with the next start. Several processes may do so at once.
 */
export async function takeBootstrapToken({ database }: Stored, token: string): Promise<void> {
  const name = 'bootstrap';
  const by = { actor: 'keyward', requestId: 'none' };
  await database.prisma.$transaction(async (transaction) => {
    if ((await transaction.apiToken.count()) > 0) return;
    const digest = digestOf(token);
    const taken = await transaction.takenBootstrapToken.createMany({ data: [{ digest }], skipDuplicates: true });
    if (taken.count === 0) return;
    const made = await insertToken(transaction, { name, digest, expiresAt: null }, by);
    if (made !== null) await giveRole(transaction, { role: 'admin', subject: { token: name } }, by);
  });
}

/** All of them, by name. */
export async function listTokens({ database }: Stored): Promise<Token[]> {
  return (await database.prisma.apiToken.findMany({ orderBy: { name: 'asc' } })).map(toToken);
}

/** One page of them, by name. @throws ProblemError malformed-request for a cursor that no page gave. */
export function pageOfTokens({ database }: Stored, query: PageQuery): Promise<TokenList> {
  const { prisma } = database;
  return pageAfter(
    { list: 'tokens', form: anyName, placeOf: ({ name }: Token) => name },
    query,
    async (after, take) => {
      const where = after === null ? {} : { name: { gt: after } };
      return (await prisma.apiToken.findMany({ where, orderBy: { name: 'asc' }, take })).map(toToken);
    },
  );
}

/**
 * Revokes a token, and takes what was given to it. With `callers`, not the last admin's.
 * @throws ProblemError not-found, conflict.
 */
export async function revokeToken(
  { database, callers }: Stored & { callers?: WaysIn },
  id: string,
  by: Doer,
): Promise<void> {
  await database.prisma.$transaction(async (transaction) => {
    const revoke = () => revokeIn(transaction, id, by);
    await (callers === undefined ? revoke() : keepingAnAdmin(transaction, callers, revoke));
  });
}

async function revokeIn(transaction: Transaction, id: string, by: Doer): Promise<void> {
  const where = { id };
  const row = isUuid(id) ? await transaction.apiToken.findUnique({ where }) : null;
  if (row === null || (await transaction.apiToken.deleteMany({ where })).count === 0) {
    throw new ProblemError('not-found', `There is no token with the id ${JSON.stringify(id)}.`);
  }
  await takeFrom(transaction, row.name, by);
  await recordEvent(transaction, { type: 'token.revoked', data: { name: row.name } }, by);
  await announceAccessChange(transaction);
}

function toToken({ id, name, expires_at, last_used_at, created_by, created_at }: ApiToken): Token {
  return {
    id,
    name,
    expires_at: expires_at?.toISOString() ?? null,
    last_used_at: last_used_at?.toISOString() ?? null,
    created_by,
    created_at: created_at.toISOString(),
  };
}

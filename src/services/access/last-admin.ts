/** Keeps somebody who may give rights: who took that from the last one would lock everybody out, themselves too. */
import type { Transaction } from '../../database/client.ts';
import { Access } from '../../domain/access.ts';
import { builtInRoles, type Permission } from '../../domain/permissions.ts';
import type { Tags } from '../../domain/types.ts';
import { conflict } from '../problems.ts';

/** How callers are let in: `issuers` are those whose word on people is taken. None at all: nobody is told from anybody. */
export type WaysIn = { takesTokens: boolean; issuers: readonly string[] };

/** The number of an advisory lock; any that nothing else uses. */
const lock = 3_801_554_207;

/**
 * Makes a change of what is given, which is taken back where it leaves nobody with access:write everywhere, though somebody had it.
 * One such change after the other: of two admins each could take the other's.
 * @throws ProblemError conflict
 */
export async function keepingAnAdmin<Done>(
  transaction: Transaction,
  ways: WaysIn,
  change: () => Promise<Done>,
): Promise<Done> {
  await transaction.$executeRaw`SELECT pg_advisory_xact_lock(${lock})`;
  const hadAdmin = await hasAdmin(transaction, ways);
  const done = await change();
  if (hadAdmin && !(await hasAdmin(transaction, ways))) {
    throw conflict(
      'Nobody would have access:write everywhere any more: give it to another first. On the host, npm run tokens can revoke the last one, and make a new one.',
    );
  }
  return done;
}

/** Whether somebody may give rights who can sign in: by a token that has not expired, or as an issuer says. */
async function hasAdmin(transaction: Transaction, { takesTokens, issuers }: WaysIn): Promise<boolean> {
  const bindings = await transaction.accessBinding.findMany();
  const own = new Map((await transaction.accessRole.findMany()).map(({ name, permissions }) => [name, permissions]));
  const giving = bindings.filter(({ role, providers, tags }) => {
    const permissions = (builtInRoles[role] ?? own.get(role) ?? []) as Permission[];
    const limit = { providers: providers as string[] | null, tags: tags as Tags | null };
    return new Access([{ ...limit, permissions }]).hasEverywhere('access:write');
  });
  const isKnown = (issuer: string | null) => (issuer === null ? issuers.length === 1 : issuers.includes(issuer));
  if (giving.some(({ subject_kind: kind, issuer }) => kind !== 'token' && isKnown(issuer))) return true;
  const names = giving.flatMap(({ subject_kind: kind, subject }) => (kind === 'token' ? [subject] : []));
  if (!takesTokens || names.length === 0) return false;
  const [token] = await transaction.$queryRaw<object[]>`
    SELECT 1 FROM api_tokens WHERE name = ANY(${names}) AND (expires_at IS NULL OR expires_at > now()) LIMIT 1`;
  return token !== undefined;
}

/** Who is behind a request's credentials. */

import { type Access, unlimited } from '../../domain/access.ts';
import { isTokenForm } from '../../domain/api-token.ts';
import type { AuthMode } from '../../variables.ts';
import { ProblemError } from '../problems.ts';
import type { Binding, Directory } from './directory.ts';
import type { Identity, JwtRules, JwtVerifier } from './issuer.ts';
import { digestOf } from './tokens.ts';

export type Caller = {
  kind: 'token' | 'jwt' | 'anonymous';
  /** As events name it. */
  subject: string;
  /** Its own for all time: a token that is made anew under an old name is another. */
  principal: string;
  groups: string[];
  bindings: Binding[];
  access: Access;
};

/** With AUTH_MODE=none everybody is the same. */
const anonymous: Caller = {
  kind: 'anonymous',
  subject: 'anonymous',
  principal: 'anonymous',
  groups: [],
  bindings: [],
  access: unlimited,
};

/** Milliseconds for which the word of an issuer is remembered, so that a request does not cost a signature. */
const jwtFreshness = 60_000;
const mostRemembered = 2000;

export type Callers = {
  /** Those whose word on people is taken. */
  issuers: readonly string[];
  /** Who is behind an Authorization header. @throws ProblemError unauthenticated */
  behind(header: string | undefined): Promise<Caller>;
  /** Has a change that this process has recorded hold for its next request. */
  forget(): void;
};

/** @param jwt null: JWTs are not taken. */
export function openCallers(
  modes: readonly AuthMode[],
  directory: Directory,
  jwt: (JwtRules & { verify: JwtVerifier }) | null,
): Callers {
  const forget = () => directory.forget();
  const issuers = jwt?.issuers ?? [];
  if (modes.includes('none')) return { issuers, behind: async () => anonymous, forget };
  const verify = jwt === null ? null : remembering(jwt.verify);
  const behind = async (header: string | undefined) => {
    if (header === undefined) throw unauthenticated('This needs credentials: Authorization: Bearer and a token.');
    const credentials = /^Bearer +([\w.~+/=-]+) *$/i.exec(header)?.[1];
    if (credentials === undefined)
      throw unauthenticated('The Authorization header must have the form: Bearer and a token.');
    const isToken = credentials.startsWith('kwd_');
    const takesToken = modes.includes('tokens') && isTokenForm(credentials);
    let caller: Caller | null = null;
    if (isToken) caller = takesToken ? await byToken(directory, credentials) : null;
    else if (verify !== null) caller = await byJwt(directory, await verify(credentials), issuers);
    if (caller === null) throw unauthenticated('The token is not valid here: it is unknown, revoked or expired.');
    return caller;
  };
  return { issuers, behind, forget };
}

/** What is not valid is looked at anew each time. */
function remembering(verify: JwtVerifier): JwtVerifier {
  const known = new Map<string, { identity: Identity; until: number }>();
  return async (token) => {
    const digest = digestOf(token);
    const kept = known.get(digest);
    if (kept !== undefined && Date.now() < kept.until) return kept.identity;
    const identity = await verify(token);
    if (known.size >= mostRemembered) known.clear();
    if (identity === null) known.delete(digest);
    else known.set(digest, { identity, until: Math.min(identity.expiresAt, Date.now() + jwtFreshness) });
    return identity;
  };
}

async function byJwt(
  directory: Directory,
  identity: Identity | null,
  issuers: readonly string[],
): Promise<Caller | null> {
  if (identity === null) return null;
  const { issuer, sub, groups } = identity;
  const isOnlyIssuer = issuers.length === 1;
  const { bindings, access } = await directory.rightsOf({ kind: 'user', sub, groups, issuer, isOnlyIssuer });
  return {
    kind: 'jwt',
    // Each issuer names people as it likes.
    subject: isOnlyIssuer ? `user:${sub}` : `user:${sub} of ${issuer}`,
    principal: `user:${JSON.stringify([issuer, sub])}`,
    groups,
    bindings,
    access,
  };
}

async function byToken(directory: Directory, credentials: string): Promise<Caller | null> {
  const token = await directory.tokenOf(digestOf(credentials));
  if (token === null) return null;
  const { bindings, access } = await directory.rightsOf({ kind: 'token', name: token.name });
  return {
    kind: 'token',
    subject: `token:${token.name}`,
    principal: `token:${token.id}`,
    groups: [],
    bindings,
    access,
  };
}

/** The same words for a token that never was and for one that is no more. */
export function unauthenticated(detail: string): ProblemError {
  return new ProblemError('unauthenticated', detail);
}

/** Who is behind a request's credentials. */

import { Access, unlimited } from '../../domain/access.ts';
import { isTokenForm } from '../../domain/api-token.ts';
import type { AuthMode } from '../../variables.ts';
import { ProblemError } from '../problems.ts';
import type { Binding, Directory, Subject } from './directory.ts';
import type { Identity, JwtRules, JwtVerifier } from './issuer.ts';
import type { WaysIn } from './last-admin.ts';
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
  /** Who that is in the directory; null: nobody in particular. */
  identity: Subject | null;
};

/** With AUTH_MODE=none everybody is the same. */
const anonymous: Caller = {
  kind: 'anonymous',
  subject: 'anonymous',
  principal: 'anonymous',
  groups: [],
  bindings: [],
  access: unlimited,
  identity: null,
};

/** Milliseconds for which the word of an issuer is remembered, so that a request does not cost a signature. */
const jwtFreshness = 60_000;
/** Milliseconds for which a caller is known again by its credentials: with those of the directory, fewer than five seconds. */
const callerFreshness = 1000;
const mostRemembered = 2000;

/** A caller, and for how long its credentials hold, in milliseconds since the epoch. */
type SignedIn = { caller: Caller; until: number };

export type Callers = WaysIn & {
  /** Who is behind an Authorization header: at once, where it was asked just now. @throws ProblemError unauthenticated */
  behind(header: string | undefined): Caller | Promise<Caller>;
  /** What somebody may do by now who has asked for something that goes on. @param identity of the caller that it was. */
  accessOf(identity: Subject | null): Promise<Access>;
  /** Has a change that this process has recorded hold for its next request. */
  forget(): void;
};

/** @param jwt null: JWTs are not taken. */
export function openCallers(
  modes: readonly AuthMode[],
  directory: Directory,
  jwt: (JwtRules & { verify: JwtVerifier }) | null,
): Callers {
  let known = new Map<string, SignedIn>();
  const forget = () => {
    directory.forget();
    // A new one: what is still being looked up goes into the old one.
    known = new Map();
  };
  const ways: WaysIn = { takesTokens: modes.includes('tokens'), issuers: jwt?.issuers ?? [] };
  const isOpen = modes.includes('none');
  const accessOf = async (identity: Subject | null) => {
    if (isOpen) return unlimited;
    const isSame = identity !== null && (await directory.isThere(identity));
    return isSame ? (await directory.rightsOf(identity)).access : new Access([]);
  };
  if (isOpen) return { ...ways, behind: () => anonymous, accessOf, forget };
  const verify = jwt === null ? null : remembering(jwt.verify);
  const lookUp = async (credentials: string, digest: string): Promise<Caller> => {
    const remembered = known;
    const isToken = credentials.startsWith('kwd_');
    const takesToken = ways.takesTokens && isTokenForm(credentials);
    let found: SignedIn | null = null;
    if (isToken) found = takesToken ? await byToken(directory, digest) : null;
    else if (verify !== null) found = await byJwt(directory, await verify(credentials, digest), ways.issuers);
    if (found === null) throw unauthenticated('The token is not valid here: it is unknown, revoked or expired.');
    if (remembered.size >= mostRemembered) remembered.clear();
    remembered.set(digest, { ...found, until: Math.min(found.until, Date.now() + callerFreshness) });
    return found.caller;
  };
  const behind = (header: string | undefined) => {
    if (header === undefined) throw unauthenticated('This needs credentials: Authorization: Bearer and a token.');
    const credentials = /^Bearer +([\w.~+/=-]+) *$/i.exec(header)?.[1];
    if (credentials === undefined)
      throw unauthenticated('The Authorization header must have the form: Bearer and a token.');
    // By the digest: no memory of this process has credentials in it for longer than their request.
    const digest = digestOf(credentials);
    const kept = known.get(digest);
    return kept !== undefined && Date.now() < kept.until ? kept.caller : lookUp(credentials, digest);
  };
  return { ...ways, behind, accessOf, forget };
}

/** What is not valid is looked at anew each time. */
function remembering(verify: JwtVerifier): (token: string, digest: string) => Promise<Identity | null> {
  const known = new Map<string, { identity: Identity; until: number }>();
  return async (token, digest) => {
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
): Promise<SignedIn | null> {
  if (identity === null) return null;
  const { issuer, sub, groups, expiresAt } = identity;
  const isOnlyIssuer = issuers.length === 1;
  const known: Subject = { kind: 'user', sub, groups, issuer, isOnlyIssuer };
  const { bindings, access } = await directory.rightsOf(known);
  const caller: Caller = {
    kind: 'jwt',
    // Each issuer names people as it likes.
    subject: isOnlyIssuer ? `user:${sub}` : `user:${sub} of ${issuer}`,
    principal: `user:${JSON.stringify([issuer, sub])}`,
    groups,
    bindings,
    access,
    identity: known,
  };
  return { caller, until: expiresAt };
}

async function byToken(directory: Directory, digest: string): Promise<SignedIn | null> {
  const token = await directory.tokenOf(digest);
  if (token === null) return null;
  const identity: Subject = { kind: 'token', name: token.name, id: token.id };
  const { bindings, access } = await directory.rightsOf(identity);
  const caller: Caller = {
    kind: 'token',
    subject: `token:${token.name}`,
    principal: `token:${token.id}`,
    groups: [],
    bindings,
    access,
    identity,
  };
  return { caller, until: token.expires_at?.getTime() ?? Number.POSITIVE_INFINITY };
}

/** The same words for a token that never was and for one that is no more. */
export function unauthenticated(detail: string): ProblemError {
  return new ProblemError('unauthenticated', detail);
}

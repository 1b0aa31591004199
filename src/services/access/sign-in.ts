/** Who is behind a request's credentials. */
import type { AuthMode } from '../../config.ts';
import { type Access, unlimited } from '../../domain/access.ts';
import { isTokenForm } from '../../domain/api-token.ts';
import { ProblemError } from '../problems.ts';
import type { Binding, Directory } from './directory.ts';
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

export type Callers = {
  /** Who is behind an Authorization header. @throws ProblemError unauthenticated */
  behind(header: string | undefined): Promise<Caller>;
  /** Has a change that this process has recorded hold for its next request. */
  forget(): void;
};

export function openCallers(modes: readonly AuthMode[], directory: Directory): Callers {
  const forget = () => directory.forget();
  if (modes.includes('none')) return { behind: async () => anonymous, forget };
  const behind = async (header: string | undefined) => {
    if (header === undefined) throw unauthenticated('This needs credentials: Authorization: Bearer and a token.');
    const credentials = /^Bearer +([\w.~+/=-]+) *$/i.exec(header)?.[1];
    if (credentials === undefined)
      throw unauthenticated('The Authorization header must have the form: Bearer and a token.');
    const caller = modes.includes('tokens') && isTokenForm(credentials) ? await byToken(directory, credentials) : null;
    if (caller === null) throw unauthenticated('The token is not valid here: it is unknown, revoked or expired.');
    return caller;
  };
  return { behind, forget };
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

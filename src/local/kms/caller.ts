/** Who calls, read from the signed request. Signatures are not verified: nothing here is worth protecting. */
import type { IncomingHttpHeaders } from 'node:http';
import { partitionIn, partitionOf } from '../../domain/regions.ts';
import type { Caller } from './context.ts';
import { KmsError } from './errors.ts';
import type { Identities, StoredSession } from './identities.ts';
import { parseRoleArn, uniqueIdOf } from './principals.ts';

/** The account of callers whose access key id is no account number. */
export const usualAccount = '111122223333';

const credential = /Credential=([^/,\s]+)\/\d{8}\/([a-z0-9-]+)\/(kms|sts|tagging)\/aws4_request/;

/** How the access key ids of sessions begin: AWS's ASIA, and what tells ours from any that AWS gave out. */
export const sessionPrefix = 'ASIALOCAL';

/**
 * @param now of the clock that signatures are held to, in milliseconds since the epoch.
 * The Region is that of the signature's scope. An access key id of twelve digits names the account, so that several
 * accounts can be had on a laptop; one that AssumeRole gave out stands for its session, in the account of the role.
 * @throws KmsError MissingAuthenticationTokenException for an unsigned request, UnrecognizedClientException,
 *   ExpiredTokenException, InvalidSignatureException
 */
export function callerOf(headers: IncomingHttpHeaders, identities: Identities, now: number): Caller {
  const match = credential.exec(headers.authorization ?? '');
  if (match === null) {
    throw new KmsError('MissingAuthenticationTokenException', 'Request is missing Authentication Token');
  }
  assertFresh(headers['x-amz-date'], now);
  const [, accessKeyId = '', region = ''] = match;
  if (accessKeyId.startsWith(sessionPrefix)) {
    const session = findSession(identities, accessKeyId, headers['x-amz-security-token']);
    return { region, ...sessionPrincipal(session.roleArn, session.name) };
  }
  const account = /^\d{12}$/.test(accessKeyId) ? accessKeyId : usualAccount;
  const arn = `arn:${partitionOf(region)}:iam::${account}:user/local`;
  return { account, region, arn, userId: uniqueIdOf(arn), roleArn: null };
}

/** The principal that a session is. The path of a role is no part of it. */
export function sessionPrincipal(roleArn: string, session: string): Omit<Caller, 'region'> {
  const { account = usualAccount, name } = parseRoleArn(roleArn) ?? {};
  const arn = `arn:${partitionIn(roleArn)}:sts::${account}:assumed-role/${name}/${session}`;
  return { account, arn, userId: `${uniqueIdOf(roleArn)}:${session}`, roleArn };
}

/** Sessions end by the real clock, as signatures do: those who hold one have no other. */
function findSession(identities: Identities, accessKeyId: string, token: unknown): StoredSession {
  const session = identities.findSession(accessKeyId);
  if (session === undefined || token !== session.sessionToken) {
    throw new KmsError('UnrecognizedClientException', 'The security token included in the request is invalid.');
  }
  if (session.expiresAt <= Date.now()) {
    throw new KmsError('ExpiredTokenException', 'The security token included in the request is expired');
  }
  return session;
}

const signatureMinutes = 5;

/**
 * A signature is good for five minutes either way, by the host's clock: moving the time of the keys ends no signature.
 * Source: AWS general reference, "Signature Version 4", and the words of its error.
 */
function assertFresh(date: string | string[] | undefined, now: number): void {
  const [, ...parts] = /^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z$/.exec(String(date)) ?? [];
  if (parts.length === 0) return;
  const [year, month, day, hour, minute, second] = parts.map(Number) as [
    number,
    number,
    number,
    number,
    number,
    number,
  ];
  const signedAt = Date.UTC(year, month - 1, day, hour, minute, second);
  const window = signatureMinutes * 60_000;
  const bound = (at: number, sign: string) => `${compact(at)} (${compact(now)} ${sign} ${signatureMinutes} min.)`;
  if (signedAt < now - window) {
    const message = `Signature expired: ${date} is now earlier than ${bound(now - window, '-')}`;
    throw new KmsError('InvalidSignatureException', message);
  }
  if (signedAt > now + window) {
    const message = `Signature not yet current: ${date} is still later than ${bound(now + window, '+')}`;
    throw new KmsError('InvalidSignatureException', message);
  }
}

function compact(at: number): string {
  return new Date(at).toISOString().replaceAll(/[-:]|\.\d+/g, '');
}

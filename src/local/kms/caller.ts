/** Who calls, read from the signed request. Signatures are not verified: nothing here is worth protecting. */
import type { IncomingHttpHeaders } from 'node:http';
import type { Caller } from './context.ts';
import { KmsError } from './errors.ts';

/** The account of callers whose access key id is no account number. */
export const usualAccount = '111122223333';

const credential = /Credential=([^/,\s]+)\/\d{8}\/([a-z0-9-]+)\/(kms|sts)\/aws4_request/;

/**
 * The Region is that of the signature's scope. An access key id of twelve digits names the account, so that several
 * accounts can be had on a laptop.
 * @throws KmsError MissingAuthenticationTokenException for an unsigned request.
 */
export function callerOf(headers: IncomingHttpHeaders): Caller {
  const match = credential.exec(headers.authorization ?? '');
  if (match === null) {
    throw new KmsError('MissingAuthenticationTokenException', 'Request is missing Authentication Token');
  }
  const [, accessKeyId = '', region = ''] = match;
  const account = /^\d{12}$/.test(accessKeyId) ? accessKeyId : usualAccount;
  return { account, region, arn: `arn:aws:iam::${account}:user/local` };
}

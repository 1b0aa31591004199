/** The way to a provider's KMS, once it is certain that it is the right one. */

import type { ProviderSettings } from '../../domain/provider.ts';
import type { Kms } from '../../kms/client.ts';
import { KmsFailure } from '../../kms/errors.ts';
import type { CallerIdentity } from '../../kms/identity.ts';
import type { Services } from '../context.ts';
import type { KeyRow } from '../rows/key-row.ts';
import { findSettings } from './settings.ts';

/** Where a key is. */
export type Home = Pick<KeyRow, 'provider' | 'arn'>;

export type Access = { settings: ProviderSettings; kms: Kms };

/**
 * The way to a provider's KMS.
 * @throws KmsFailure of kind `credentials` when there is no such provider, its credentials don't work, or they are of an
 * account that the provider does not allow.
 */
export async function accessTo(services: Services, name: string): Promise<Access> {
  return accessBy(services, name, await findSettings(services, name));
}

/** The same by settings that were just read; null: there is no such provider. @throws KmsFailure */
async function accessBy(services: Services, name: string, settings: ProviderSettings | null): Promise<Access> {
  if (settings === null) throw unusable('NoSuchProvider', `There is no provider ${JSON.stringify(name)}`);
  const elsewhere = services.rules.endpointFault(settings.endpoint);
  if (elsewhere !== null) throw unusable('EndpointNotAllowed', elsewhere);
  const kms = services.clients.of(name, settings);
  const identity = await kms.identity();
  const fault = accountFault(name, settings, identity);
  if (fault !== null) throw fault;
  return { settings, kms };
}

/** What is wrong with the account that a provider's credentials are of; null: nothing. */
export function accountFault(
  name: string,
  { allowed_account_ids: allowed }: ProviderSettings,
  identity: CallerIdentity | null,
): KmsFailure | null {
  if (allowed.length === 0 || (identity !== null && allowed.includes(identity.account))) return null;
  const account = identity === null ? 'an account that STS does not tell' : `account ${identity.account}`;
  const message = `The credentials of provider ${name} are of ${account}; it allows ${allowed.join(', ')} only`;
  return unusable('AccountNotAllowed', message);
}

/**
 * The way to the KMS that has a key. That a key is not found by credentials of another account, or in another Region, says
 * nothing of it.
 * @throws KmsFailure of kind `credentials`
 */
export async function accessToKey(services: Services, row: Home): Promise<Access> {
  return accessToHome(services, row, await findSettings(services, row.provider));
}

/** The same by settings that were just read; null: there is no such provider. @throws KmsFailure */
export async function accessToHome(services: Services, row: Home, settings: ProviderSettings | null): Promise<Access> {
  const access = await accessBy(services, row.provider, settings);
  const elsewhere = row.arn === null ? null : await homeElsewhere(access.kms, row.arn);
  if (elsewhere === null) return access;
  throw unusable('WrongAccountOrRegion', `${row.arn} is ${elsewhere}; provider ${row.provider} must lead there`);
}

/** Says of which other account or Region an ARN is; null: of this one, as far as can be told, or it is no ARN. */
export async function homeElsewhere(kms: Kms, arn: string): Promise<string | null> {
  const [prefix, , , region, account] = arn.split(':');
  if (prefix !== 'arn') return null;
  const identity = await kms.identity();
  const isSameAccount = identity === null || identity.account === account;
  if (isSameAccount && region === kms.region) return null;
  const here = `${identity === null ? '' : `account ${identity.account}, `}Region ${kms.region}`;
  return `of account ${account}, Region ${region}, and the provider is for ${here}`;
}

/** Why a provider leads nowhere. */
export function unusable(code: string, message: string): KmsFailure {
  return new KmsFailure('credentials', code, message, 'GetCallerIdentity', true);
}

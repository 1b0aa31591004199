/** Whether a provider's credentials work, for which account, and with which permissions. */

import type { Rights } from '../../domain/access.ts';
import type { Kms } from '../../kms/client.ts';
import { KmsFailure } from '../../kms/errors.ts';
import { type CallerIdentity, readCallerIdentity } from '../../kms/identity.ts';
import { listKeys } from '../../kms/inventory.ts';
import { checkPermissions } from '../../kms/permissions.ts';
import type { ProviderCheck } from '../../schemas/provider.ts';
import type { Services } from '../context.ts';
import { withinLimits } from '../visibility.ts';
import { accountFault, unusable } from './access.ts';
import { providerNotFound } from './commands.ts';
import { findSettings } from './settings.ts';

const accountUntold = {
  action: 'sts:GetCallerIdentity',
  allowed: null,
  detail:
    'STS does not answer, as at many endpoints that are not AWS: of which account the credentials are can not be told.',
};

/** null: there is no STS that tells. @throws KmsFailure of kind `credentials` */
async function identityOf(kms: Kms): Promise<CallerIdentity | null> {
  try {
    return await readCallerIdentity(kms.sts);
  } catch (error) {
    if (!(error instanceof KmsFailure) || error.kind === 'credentials') throw error;
    return null;
  }
}

/** KMS's own word is an answer, whatever it says. */
function unlessAnswered(error: unknown): void {
  if (error instanceof KmsFailure && error.certainlyNotDone && error.kind !== 'fault' && error.kind !== 'credentials')
    return;
  throw error;
}

/** Changes nothing. What KMS says of a key is asked of one that the caller may see. @throws ProblemError not-found */
export async function checkProvider(services: Services, name: string, { access }: Rights): Promise<ProviderCheck> {
  const settings = await findSettings(services, name);
  if (settings === null) throw providerNotFound(name);
  const kms = services.clients.of(name, settings);
  const found: ProviderCheck = {
    ok: false,
    account_id: null,
    caller_arn: null,
    region: settings.region,
    error: null,
    permissions: [],
  };
  try {
    const elsewhere = services.rules.endpointFault(settings.endpoint);
    if (elsewhere !== null) throw unusable('EndpointNotAllowed', elsewhere);
    const identity = await identityOf(kms);
    // Whether there is a KMS at all: what has no answer says nothing of permissions.
    await listKeys(kms, 1, null).catch(unlessAnswered);
    found.account_id = identity?.account ?? null;
    found.caller_arn = identity?.arn ?? null;
    const fault = accountFault(name, settings, identity);
    if (fault !== null) return { ...found, error: { code: fault.code, message: fault.message } };
    const [known] = await services.database.prisma.$queryRaw<{ key_id: string }[]>`
      SELECT key_id FROM keys WHERE provider = ${name} AND state = 'in_sync' AND key_id IS NOT NULL
        AND ${withinLimits(access.limitsOf('keys:read'))} LIMIT 1`;
    const asked = await checkPermissions(kms, { ...services, knownKeyId: known?.key_id ?? null });
    const permissions = identity === null ? [accountUntold, ...asked] : asked;
    return { ...found, permissions, ok: permissions.every(({ allowed }) => allowed !== false) };
  } catch (error) {
    if (!(error instanceof KmsFailure)) throw error;
    return { ...found, error: { code: error.code, message: error.message } };
  }
}

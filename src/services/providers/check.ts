/** Whether a provider's credentials work, for which account, and with which permissions. */
import { KmsFailure } from '../../kms/errors.ts';
import { readCallerIdentity } from '../../kms/identity.ts';
import { checkPermissions } from '../../kms/permissions.ts';
import type { ProviderCheck } from '../../schemas/provider.ts';
import type { Services } from '../context.ts';
import { accountFault } from './access.ts';
import { providerNotFound } from './commands.ts';
import { findSettings } from './settings.ts';

/** Changes nothing. @throws ProblemError not-found */
export async function checkProvider(services: Services, name: string): Promise<ProviderCheck> {
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
    const identity = await readCallerIdentity(kms.sts);
    found.account_id = identity.account;
    found.caller_arn = identity.arn;
    const fault = accountFault(name, settings, identity);
    if (fault !== null) return { ...found, error: { code: fault.code, message: fault.message } };
    const known = await services.database.prisma.key.findFirst({
      where: { provider: name, state: 'in_sync', key_id: { not: null } },
      select: { key_id: true },
    });
    const permissions = await checkPermissions(kms, { ...services, knownKeyId: known?.key_id ?? null });
    return { ...found, permissions, ok: permissions.every(({ allowed }) => allowed !== false) };
  } catch (error) {
    if (!(error instanceof KmsFailure)) throw error;
    return { ...found, error: { code: error.code, message: error.message } };
  }
}

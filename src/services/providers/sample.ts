/** A provider that is to lead elsewhere must first see some of its keys there. */
import { isDeepStrictEqual } from 'node:util';
import type { ProviderSettings } from '../../domain/provider.ts';
import type { Kms } from '../../kms/client.ts';
import { KmsFailure } from '../../kms/errors.ts';
import { describeKey } from '../../kms/observe.ts';
import type { Services } from '../context.ts';
import { problemOf } from '../keys/import.ts';
import { conflict } from '../problems.ts';
import { sampleOf } from '../sync/lost.ts';

/**
 * Looks for up to five of the provider's keys by the settings that it would have. One that is seen is enough.
 * @throws ProblemError conflict when KMS has none of them there; temporarily-unavailable, refused-by-kms when it can't be asked.
 */
export async function assertKeysAreThere(
  services: Services,
  name: string,
  { before, after }: { before: ProviderSettings; after: ProviderSettings },
): Promise<void> {
  if (isDeepStrictEqual([before.endpoint, before.assume_role], [after.endpoint, after.assume_role])) return;
  const keyIds = await sampleOf(services, { provider: name }, new Date());
  if (keyIds.length === 0) return;
  const kms = services.clients.open(after);
  try {
    if (await seesAny(kms, keyIds)) return;
  } finally {
    kms.close();
  }
  const keys = keyIds.length === 1 ? `its key ${keyIds[0]}` : `any of its keys ${keyIds.join(', ')}`;
  throw conflict(`With this endpoint and role, provider ${name} does not find ${keys}: nothing was changed.`);
}

async function seesAny(kms: Kms, keyIds: string[]): Promise<boolean> {
  let untold: KmsFailure | null = null;
  for (const keyId of keyIds) {
    try {
      await describeKey(kms, keyId);
      return true;
    } catch (error) {
      if (!(error instanceof KmsFailure)) throw error;
      if (error.kind !== 'not_found') untold = error;
    }
  }
  if (untold !== null) throw problemOf(untold, keyIds[0] ?? '');
  return false;
}

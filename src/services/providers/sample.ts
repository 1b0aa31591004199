/** Whether a provider leads to its keys: some of them are looked for. One that is to lead elsewhere must first see some there. */
import { isDeepStrictEqual } from 'node:util';
import type { Rights } from '../../domain/access.ts';
import type { ProviderSettings } from '../../domain/provider.ts';
import type { Kms } from '../../kms/client.ts';
import { KmsFailure } from '../../kms/errors.ts';
import { describeKey } from '../../kms/observe.ts';
import type { Services } from '../context.ts';
import { conflict, problemOf } from '../problems.ts';
import type { KeyRow } from '../rows/key-row.ts';

/** Keys of a provider that are looked for before one is given up. */
const sampleSize = 5;

/**
 * Looks for up to five of the provider's keys by the settings that it would have. One that is seen is enough. Who may not see all
 * keys is told of none.
 * @throws ProblemError conflict when KMS has none of them there; temporarily-unavailable, refused-by-kms when it can't be asked.
 */
export async function assertKeysAreThere(
  services: Services,
  name: string,
  { before, after }: { before: ProviderSettings; after: ProviderSettings },
  { access }: Rights,
): Promise<void> {
  if (isDeepStrictEqual([before.endpoint, before.assume_role], [after.endpoint, after.assume_role])) return;
  const keyIds = await sampleOf(services, { provider: name }, new Date());
  if (keyIds.length === 0) return;
  const kms = services.clients.open(after);
  try {
    if (await seesAny(kms, keyIds)) return;
  } catch (error) {
    if (!(error instanceof KmsFailure)) throw error;
    if (access.hasEverywhere('keys:read')) throw problemOf(error, keyIds[0] ?? '');
    // Its words name a key.
    const detail = `KMS does not tell whether it has the keys of provider ${name} there: ${error.code}. Nothing was changed.`;
    throw conflict(detail);
  } finally {
    kms.close();
  }
  if (!access.hasEverywhere('keys:read')) throw notFoundThere(name, 'any of its keys');
  const keys = keyIds.length === 1 ? `its key ${keyIds[0]}` : `any of its keys ${keyIds.join(', ')}`;
  throw notFoundThere(name, keys);
}

function notFoundThere(name: string, keys: string) {
  return conflict(`With this endpoint and role, provider ${name} does not find ${keys}: nothing was changed.`);
}

/** @throws KmsFailure when KMS does not tell of any. */
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
  if (untold !== null) throw untold;
  return false;
}

/** Ids of keys that KMS has, as far as is known, and had before `since`. */
export async function sampleOf(
  { database }: Services,
  { id, provider }: Pick<KeyRow, 'provider'> & { id?: string },
  since: Date,
) {
  const keys = await database.prisma.key.findMany({
    where: {
      provider,
      ...(id === undefined ? {} : { id: { not: id } }),
      lifecycle: 'managed',
      synced_generation: { gt: 0 },
      key_state: { not: null },
      key_id: { not: null },
      created_at: { lt: since },
    },
    orderBy: { work: { last_observed_at: { sort: 'desc', nulls: 'last' } } },
    take: sampleSize,
    select: { key_id: true },
  });
  return keys.flatMap(({ key_id }) => (key_id === null ? [] : [key_id]));
}

/** Whether KMS has any of these keys. untold: it won't say. None to look for: nothing speaks against it. */
export async function lookForOthers(kms: Kms, keyIds: string[]): Promise<'seen' | 'none' | 'untold'> {
  let answer: 'none' | 'untold' = 'none';
  for (const keyId of keyIds) {
    try {
      await describeKey(kms, keyId);
      return 'seen';
    } catch (error) {
      if (!(error instanceof KmsFailure)) throw error;
      if (error.kind !== 'not_found') answer = 'untold';
    }
  }
  return keyIds.length === 0 ? 'seen' : answer;
}

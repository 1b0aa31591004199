/**
 * An id of the caller's own may be in the ownership tag of a key in KMS that no record names any more. Declaring a key under it takes
 * that one over.
 */
import type { Rights } from '../../domain/access.ts';
import { withoutReserved } from '../../domain/tags.ts';
import { timeInUuid } from '../../domain/uuid.ts';
import { KmsFailure } from '../../kms/errors.ts';
import { tagsOf } from '../../kms/inventory.ts';
import { forbidden } from '../access/keys.ts';
import type { Services } from '../context.ts';
import { keyNotFound, ProblemError } from '../problems.ts';
import { accessTo } from '../providers/access.ts';
import { knownAmong } from '../unmanaged/known.ts';

/**
 * Whether the caller might import whatever key in KMS carries that id. Who may import all keys is not asked.
 * @throws ProblemError not-found where it may not see such a key, as for a record; forbidden; temporarily-unavailable when KMS can't
 * be asked.
 */
export async function assertMayTakeOver(
  services: Services,
  { id, provider }: { id: string; provider: string },
  { access }: Rights,
): Promise<void> {
  if (access.hasEverywhere('keys:import')) return;
  const places = await claimants(services, id, provider).catch((error) => {
    if (!(error instanceof KmsFailure)) throw error;
    const detail = `KMS does not tell now whether it has a key of this id: ${error.code}. Nothing was recorded.`;
    throw new ProblemError('temporarily-unavailable', detail);
  });
  for (const tags of places) {
    if (tags === null || !access.may('keys:read', { provider, tags })) throw keyNotFound(id);
    if (!access.may('keys:import', { provider, tags })) throw forbidden('keys:import');
  }
}

/** The tags of each; null: KMS does not tell them. @throws KmsFailure */
async function claimants(services: Services, id: string, provider: string) {
  const { kms } = await accessTo(services, provider);
  const { owned } = await services.ownershipSearchFor(kms).find({
    owner: id,
    madeSince: new Date(Math.min(services.now(), timeInUuid(id) ?? 0)),
    knownAmong: (keyIds) => knownAmong(services, kms.region, keyIds, id),
    settle: services.times.settle,
  });
  const tags = await Promise.all(owned.map((keyId) => tagsOf(kms, keyId)));
  return tags.map((those) => (those === null ? null : withoutReserved(those, services.ownershipTagName)));
}

/** Which providers lead to one KMS. A name of an alias is one key's in an account and Region, by whichever provider that is reached. */
import type { Services } from '../context.ts';
import { type Access, accessTo } from '../providers/access.ts';
import { lookForOthers, sampleOf } from '../providers/sample.ts';

/** Providers beside one: those that lead to the same KMS, and those that lead to another. Of those in neither, nobody can tell. */
export type Neighbours = { same: string[]; apart: string[] };

/**
 * Those of the provider's Region at which keys declare some of the names. Asked before a transaction begins: it may ask KMS and STS.
 */
export async function neighboursOf(
  services: Services,
  provider: string,
  names: readonly string[],
): Promise<Neighbours> {
  const { prisma } = services.database;
  const found: Neighbours = { same: [], apart: [] };
  if (names.length === 0) return found;
  const others = await prisma.$queryRaw<{ provider: string }[]>`
    SELECT DISTINCT claim.provider FROM declared_aliases claim
    JOIN providers other ON other.name = claim.provider JOIN providers own ON own.name = ${provider}
    WHERE claim.name = ANY(${[...names]}::text[]) AND claim.provider <> ${provider} AND other.region = own.region`;
  if (others.length === 0) return found;
  const own = await reach(services, provider);
  for (const { provider: other } of others) {
    const isSame = await leadsTo(services, own, { provider: other, access: await reach(services, other) });
    if (isSame !== null) found[isSame ? 'same' : 'apart'].push(other);
  }
  return found;
}

/** null: nobody can tell where it leads. */
const reach = (services: Services, provider: string) => accessTo(services, provider).catch(() => null);

/** null: nobody can tell. */
async function leadsTo(
  services: Services,
  own: Access | null,
  { provider, access }: { provider: string; access: Access | null },
): Promise<boolean | null> {
  if (own === null || access === null) return null;
  const [here, there] = await Promise.all([own, access].map(({ kms }) => kms.identity().catch(() => null)));
  if (here == null || there == null) return null;
  if (here.account !== there.account) return false;
  if (own.kms.endpointName === access.kms.endpointName) return true;
  // One KMS may have several names: its keys tell.
  const keyIds = await sampleOf(services, { provider }, new Date());
  const seen = keyIds.length === 0 ? 'untold' : await lookForOthers(own.kms, keyIds);
  return seen === 'untold' ? null : seen === 'seen';
}

/** Which of KMS's keys Keyward has records of. */
import type { Services } from '../context.ts';
import { formerAmong } from '../keys/former.ts';

/**
 * Those of the key ids that a record names, or had before: nobody is to be given such a key. A key may be managed under
 * another provider of the same account; the replicas of a multi-Region key share its id and are keys of their own.
 * @param except the id of the record for which a key is looked for: what it names meanwhile is the key that is meant.
 */
export async function knownAmong(
  services: Services,
  region: string,
  keyIds: string[],
  except?: string,
): Promise<Set<string>> {
  const managed = await managedAmong(services, region, keyIds, except);
  return new Set([...managed, ...(await formerAmong(services, keyIds, { of: except }))]);
}

/** Those of the key ids that a record names. */
export async function managedAmong(
  services: Services,
  region: string,
  keyIds: string[],
  except?: string,
): Promise<string[]> {
  const rows = await services.database.prisma.key.findMany({
    where: {
      key_id: { in: keyIds },
      arn: { contains: `:kms:${region}:` },
      state: { not: 'deleted' },
      ...(except === undefined ? {} : { id: { not: except } }),
    },
    select: { key_id: true },
  });
  return rows.flatMap(({ key_id }) => (key_id === null ? [] : [key_id]));
}

/** Those of the key ids that no sweep had seen by then: they may have been made since. `since` is PostgreSQL's time. */
export async function newSince({ database }: Services, keyIds: string[], since: Date): Promise<string[]> {
  const seenBefore = await database.prisma.foreignKey.findMany({
    where: { key_id: { in: keyIds }, first_seen_at: { lt: since } },
    select: { key_id: true },
  });
  const old = new Set(seenBefore.map(({ key_id }) => key_id));
  return keyIds.filter((keyId) => !old.has(keyId));
}

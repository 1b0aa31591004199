/** Which of KMS's keys Keyward has records of. */
import type { Services } from '../context.ts';
import { formerAmong } from '../keys/former.ts';

/** Those of the key ids that a record of the provider names, or had before: nobody is to be given such a key. */
export async function knownAmong(services: Services, provider: string, keyIds: string[]): Promise<Set<string>> {
  const rows = await services.database.prisma.key.findMany({
    where: { provider, key_id: { in: keyIds }, state: { not: 'deleted' } },
    select: { key_id: true },
  });
  const former = await formerAmong(services, keyIds);
  return new Set([...rows.flatMap(({ key_id }) => (key_id === null ? [] : [key_id])), ...former]);
}

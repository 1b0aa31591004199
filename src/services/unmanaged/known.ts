/** Which of KMS's keys Keyward has records of. */
import type { Services } from '../context.ts';

/** Those of the key ids that a record of the provider names. */
export async function knownAmong({ database }: Services, provider: string, keyIds: string[]): Promise<Set<string>> {
  const rows = await database.prisma.key.findMany({
    where: { provider, key_id: { in: keyIds }, state: { not: 'deleted' } },
    select: { key_id: true },
  });
  return new Set(rows.flatMap(({ key_id }) => (key_id === null ? [] : [key_id])));
}

/** The KMS keys that records had before. */
import type { Services } from '../context.ts';

/**
 * Those of the key ids that a record had before. Whatever ownership tag they carry, they are nobody's new key.
 * @param deletion only those whose deletion stands so; undefined: all.
 */
export async function formerAmong(
  { database }: Pick<Services, 'database'>,
  keyIds: string[],
  deletion?: 'waiting',
): Promise<string[]> {
  const rows = await database.prisma.formerKey.findMany({
    where: { key_id: { in: keyIds }, ...(deletion === undefined ? {} : { deletion }) },
    select: { key_id: true },
  });
  return rows.map(({ key_id }) => key_id);
}

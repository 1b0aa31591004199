/** The KMS keys that records had before. */
import type { Services } from '../context.ts';

/**
 * Those of the key ids that a record had before. Whatever ownership tag they carry, they are nobody's new key. One that was
 * left in KMS as it is may be anybody's: it counts for the record alone that it was left by.
 * @param deletion only those whose deletion stands so; undefined: all.
 * @param of the id of the record for which a key is looked for.
 */
export async function formerAmong(
  { database }: Pick<Services, 'database'>,
  keyIds: string[],
  { deletion, of }: { deletion?: 'waiting'; of?: string | undefined } = {},
): Promise<string[]> {
  const rows = await database.prisma.formerKey.findMany({
    where: {
      key_id: { in: keyIds },
      ...(deletion === undefined ? {} : { deletion }),
      OR: [{ deletion: { not: 'left' } }, ...(of === undefined ? [] : [{ key_ref: of }])],
    },
    select: { key_id: true },
  });
  return rows.map(({ key_id }) => key_id);
}

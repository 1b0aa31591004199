/** The rotations of a key so far. */
import { ListKeyRotationsCommand } from '@aws-sdk/client-kms';
import type { Kms } from './client.ts';
import { call, endingList, nextMarker, unusableAnswer } from './errors.ts';

export type Rotation = {
  /** RFC 3339; null where KMS doesn't tell. */
  rotation_date: string | null;
  /** AUTOMATIC or ON_DEMAND. */
  rotation_type: string | null;
  key_material_id: string | null;
  /** CURRENT, NON_CURRENT or PENDING_ROTATION. */
  key_material_state: string | null;
};

const largestPage = 1000;

/**
 * One page of a key's rotations, in KMS's order.
 * @param marker of the page; null: the first.
 * @throws KmsFailure
 */
export async function listRotations(kms: Kms, keyId: string, limit: number, marker: string | null) {
  const page = await call('ListKeyRotations', () =>
    kms.reads.send(
      new ListKeyRotationsCommand({ KeyId: keyId, Limit: limit, ...(marker === null ? {} : { Marker: marker }) }),
    ),
  );
  if (page.Rotations === undefined) throw unusableAnswer('ListKeyRotations', 'Rotations');
  const rotations = page.Rotations.map(
    (entry): Rotation => ({
      rotation_date: entry.RotationDate?.toISOString() ?? null,
      rotation_type: entry.RotationType ?? null,
      key_material_id: entry.KeyMaterialId ?? null,
      key_material_state: entry.KeyMaterialState ?? null,
    }),
  );
  return { rotations, next: nextMarker('ListKeyRotations', page) };
}

/** How often the key was rotated on demand. @throws KmsFailure */
export async function countOnDemandRotations(kms: Kms, keyId: string): Promise<number> {
  let count = 0;
  const ends = endingList('ListKeyRotations');
  for (let marker: string | null = null; ; ) {
    const { rotations, next } = await listRotations(kms, keyId, largestPage, marker);
    count += rotations.filter(({ rotation_type }) => rotation_type === 'ON_DEMAND').length;
    marker = ends(next);
    if (marker === null) return count;
  }
}

/** The rotations of a key's material. */
import { Type } from 'typebox';
import { nullable, openEnum, pageOf, timestamp } from './common.ts';

export const KeyRotation = Type.Object(
  {
    rotation_date: nullable(timestamp('When it was rotated.')),
    rotation_type: nullable(openEnum(['AUTOMATIC', 'ON_DEMAND'], { description: 'Why it was.' })),
    key_material_id: nullable(Type.String({ description: "KMS's id of the key material." })),
    key_material_state: nullable(
      openEnum(['CURRENT', 'NON_CURRENT', 'PENDING_ROTATION'], { description: 'Whether it encrypts now.' }),
    ),
  },
  { $id: 'KeyRotation', description: 'One rotation, as KMS tells it; null: it does not tell.' },
);

export const KeyRotationList = pageOf(KeyRotation, 'KeyRotationList', "a key's rotations");

export const rotationSchemas = [KeyRotation, KeyRotationList];

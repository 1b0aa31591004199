/** The rotations of a key's material. */
import { Type } from 'typebox';
import { nullable, ref, Timestamp } from './common.ts';

export const KeyRotation = Type.Object(
  {
    rotation_date: nullable(Timestamp),
    rotation_type: nullable(Type.String({ description: 'AUTOMATIC or ON_DEMAND.' })),
    key_material_id: nullable(Type.String()),
    key_material_state: nullable(Type.String({ description: 'CURRENT, NON_CURRENT or PENDING_ROTATION.' })),
  },
  { $id: 'KeyRotation', additionalProperties: false },
);

export const KeyRotationList = Type.Object(
  { items: Type.Array(ref(KeyRotation)), next_cursor: nullable(Type.String()) },
  { $id: 'KeyRotationList', additionalProperties: false },
);

export const rotationSchemas = [KeyRotation, KeyRotationList];

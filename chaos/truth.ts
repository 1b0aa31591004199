/** What KMS and the database hold of a key, side by side. The service is not asked. */
import type { KMSClient } from '@aws-sdk/client-kms';
import type { Client } from 'pg';
import { metadata, policy, rotation, tags } from '../test/support/kms-truth.ts';

/** A key's row, as far as the checks need it. */
export type Row = {
  id: string;
  key_id: string | null;
  description: string;
  is_enabled: boolean;
  enable_key_rotation: boolean;
  rotation_period_in_days: number | null;
  policy: unknown;
  tags_all: Record<string, string>;
  lifecycle: string;
  state: string;
  generation: number;
  synced_generation: number;
};

/** A key in KMS. */
export type Held = {
  description: string;
  key_state: string;
  rotation: { enabled: boolean; period: number | null } | null;
  policy: unknown;
  tags: Record<string, string>;
};

/** Reads a key with the SDK. */
export async function heldKey(kms: KMSClient, keyId: string): Promise<Held> {
  const { Description = '', KeyState = '' } = await metadata(kms, keyId);
  const rotates = KeyState !== 'PendingDeletion';
  return {
    description: Description,
    key_state: KeyState,
    rotation: rotates ? await rotation(kms, keyId) : null,
    policy: await policy(kms, keyId),
    tags: await tags(kms, keyId),
  };
}

export async function allRows(database: Client): Promise<Row[]> {
  const { rows } = await database.query<Row>(
    `SELECT id, key_id, description, is_enabled, enable_key_rotation, rotation_period_in_days, policy, tags_all,
       lifecycle, state, generation, synced_generation FROM keys`,
  );
  return rows;
}

/** How many keys are not where they are to be yet. */
export async function unsettledKeys(database: Client): Promise<number> {
  const { rows } = await database.query<{ count: number }>(
    `SELECT count(*)::int AS count FROM keys
     WHERE (generation <> synced_generation AND NOT (state = 'failed' AND key_id IS NULL))
       OR writes_open OR lease_token IS NOT NULL OR served_observation < requested_observation
       OR (lifecycle = 'released')`,
  );
  return rows[0]?.count ?? 0;
}

/** What KMS and the database hold of a key, side by side. The service is not asked. */
import type { KMSClient } from '@aws-sdk/client-kms';
import type { Client } from 'pg';
import { metadata, policy, rotation, tags } from '../test/support/kms-truth.ts';

/** A key's row, as far as the checks need it. */
export type Row = {
  id: string;
  arn: string | null;
  key_id: string | null;
  replica_of: string | null;
  customer_master_key_spec: string;
  description: string;
  is_enabled: boolean;
  enable_key_rotation: boolean;
  rotation_period_in_days: number | null;
  policy: unknown;
  tags_all: Record<string, string>;
  aliases: string[] | null;
  lifecycle: string;
  state: string;
  generation: number;
  synced_generation: number;
};

/** A key in KMS. */
export type Held = {
  description: string;
  key_spec: string;
  key_state: string;
  rotation: { enabled: boolean; period: number | null } | null;
  policy: unknown;
  tags: Record<string, string>;
};

/** Reads a key with the SDK. */
export async function heldKey(kms: KMSClient, keyId: string): Promise<Held> {
  const { Description = '', KeyState = '', KeySpec = '' } = await metadata(kms, keyId);
  const rotates = !/^Pending(Replica)?Deletion$/.test(KeyState) && KeySpec === 'SYMMETRIC_DEFAULT';
  return {
    description: Description,
    key_spec: KeySpec,
    key_state: KeyState,
    rotation: rotates ? await rotation(kms, keyId) : null,
    policy: await policy(kms, keyId),
    tags: await tags(kms, keyId),
  };
}

export async function allRows(database: Client): Promise<Row[]> {
  const { rows } = await database.query<Row>(
    `SELECT id, arn, key_id, replica_of, customer_master_key_spec, description, is_enabled, enable_key_rotation, rotation_period_in_days, policy, tags_all, aliases,
       lifecycle, state, generation, synced_generation FROM keys`,
  );
  return rows;
}

/** Of a key pending deletion that KMS lost before its date: it is looked for until then, and the record tells so. */
export const missingBeforeItsTime =
  "(lifecycle = 'pending_deletion' AND coalesce(deletion_date > now(), false) AND error ->> 'code' IS NOT DISTINCT FROM 'NotFoundException')";

/**
 * KMS refused what is to be done with a new key that only its ownership tag tells to be the record's: neither is it deleted (I11), nor
 * is there a generation to go back to. Its owner has to decide.
 */
const leftUnproven = `(state = 'failed' AND synced_generation = 0 AND coalesce(error ->> 'retryable' = 'false'
  AND error ->> 'message' LIKE '%which does not prove that Keyward made it%', false))`;

/**
 * The keys that are not where they are to be yet. What a write did to a key that is lost nobody can see before it is found. A lease
 * that a killed process has left on a key at rest ran out, and is taken over when the key is next due.
 */
export async function unsettledKeys(database: Client): Promise<object[]> {
  const { rows } = await database.query<object>(
    `SELECT id, state, lifecycle, key_id, key_state, generation, synced_generation, requested_observation, served_observation,
       writes_open, replacement, former_keys_open, errands_open, lease_token, lease_until, due_at, attempts, error, now()
     FROM keys JOIN work ON work.key_ref = keys.id
     WHERE (generation <> synced_generation AND NOT (state = 'failed' AND (key_id IS NULL OR key_state IS NULL))
         AND NOT ${missingBeforeItsTime} AND NOT ${leftUnproven})
       OR replacement IS NOT NULL OR former_keys_open
       OR (errands_open OR writes_open) AND NOT (state = 'failed' AND key_state IS NULL)
       OR lease_until > now() OR served_observation < requested_observation
       OR (lifecycle = 'released')`,
  );
  return rows;
}

/** A KMS key that a record had before. */
export type Former = {
  key_ref: string;
  key_id: string;
  /** What the record says about its deletion: waiting | scheduled | gone | left. */
  deletion: string;
  /** Whether the record tells what goes wrong. */
  is_told: boolean;
};

export async function allFormers(database: Client): Promise<Former[]> {
  const { rows } = await database.query<Former>(
    `SELECT f.key_ref, f.key_id, f.deletion, k.error IS NOT NULL AND w.former_keys_open AS is_told
     FROM former_keys f LEFT JOIN keys k ON k.id = f.key_ref LEFT JOIN work w ON w.key_ref = f.key_ref`,
  );
  return rows;
}

/** Records and how often their keys, present and former, were rotated on demand, as Keyward tells it. */
export type Rotated = { id: string; key_ids: string[]; done: number; uncertain: number };

/**
 * Not of imported records, whose keys others may have rotated, nor of those that have lost a key with its rotations. Those of a
 * family are rotated together.
 */
export async function allRotated(database: Client): Promise<Rotated[]> {
  const { rows } = await database.query<Rotated>(
    `SELECT k.id, array_remove(array_agg(DISTINCT f.key_id) || k.key_id, NULL) AS key_ids,
       (SELECT count(*)::int FROM errands r WHERE r.key_ref = k.id AND r.operation = 'RotateKeyOnDemand' AND r.outcome = 'done') AS done,
       (SELECT count(*)::int FROM errands r WHERE r.key_ref = k.id AND r.operation = 'RotateKeyOnDemand' AND r.error->>'code' = 'KeyReplaced')
         AS uncertain
     FROM keys k LEFT JOIN former_keys f ON f.key_ref = k.id
     WHERE NOT k.multi_region AND NOT EXISTS (SELECT 1 FROM revisions v WHERE v.key_ref = k.id AND v.origin = 'import')
     GROUP BY k.id, k.key_id HAVING coalesce(bool_and(f.deletion <> 'gone'), true)`,
  );
  return rows;
}

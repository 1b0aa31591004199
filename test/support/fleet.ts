/** A fleet of keys that were made and synced long ago, put straight into the local KMS and into PostgreSQL. */
import { randomUUID } from 'node:crypto';
import { CreateKeyCommand, type KMSClient } from '@aws-sdk/client-kms';
import type { Client, Pool } from 'pg';
import type { ObservedKey } from '../../src/domain/types.ts';
import { openKms } from '../../src/kms/client.ts';
import { observeKey } from '../../src/kms/observe.ts';
import { writeTimes } from '../../src/kms/permit.ts';
import { Limiter } from '../../src/kms/quotas.ts';

export type FleetKey = { id: string; keyId: string };

/** The records of the keys, as the syncs of their creation would have left them; none is due. */
export async function recordKeys(database: Client | Pool, endpoint: string, keys: FleetKey[]): Promise<void> {
  const [first] = keys;
  if (first === undefined) return;
  const like = await observe(endpoint, first.keyId);
  for (let start = 0; start < keys.length; start += 1000) {
    const rows = keys.slice(start, start + 1000).map(({ id, keyId }, index) => {
      const arn = like.arn.replace(first.keyId, keyId);
      const description = `key ${start + index}`;
      const observed: ObservedKey = { ...like, arn, key_id: keyId, description, tags: { 'keyward:id': id } };
      return { id, arn, key_id: keyId, description, observed };
    });
    await database.query(insertKeys, [JSON.stringify(rows)]);
  }
  await database.query('ANALYZE keys, work');
}

const insertKeys = `
  WITH recorded AS (
  INSERT INTO keys (
    id, provider, arn, key_id, description, key_usage, customer_master_key_spec, multi_region, policy,
    bypass_policy_lockout_safety_check, deletion_window_in_days, is_enabled, enable_key_rotation, tags, tags_all, drift_policy,
    deletion_protection, lifecycle, state, generation, synced_generation, observed, key_state)
  SELECT id, 'default', arn, key_id, description, 'ENCRYPT_DECRYPT', 'SYMMETRIC_DEFAULT', false, observed -> 'policy',
    false, 30, true, false, '{}', '{}', 'enforce', false, 'managed', 'in_sync', 1, 1, observed, 'Enabled'
  FROM json_to_recordset($1::json) AS key (id uuid, arn text, key_id text, description text, observed json)
  RETURNING id, provider)
  INSERT INTO work (key_ref, provider, last_observed_at, last_synced_at, due_at)
  SELECT id, provider, now(), now(), now() + interval '1 day' FROM recorded`;

async function observe(endpoint: string, keyId: string): Promise<ObservedKey> {
  const quotas = new Limiter(1).open('bench', 'as_told');
  const times = writeTimes(30_000);
  const target = { endpoint, region: 'us-east-1', assumeRole: null, endpointName: 'test', quotas };
  const kms = openKms({ ...target, onCall: () => {}, times, expiringWrites: false });
  try {
    return await observeKey(kms, keyId, { aliases: null });
  } finally {
    kms.close();
  }
}

/** Makes keys in KMS, as recordKeys takes them to be. */
export async function makeKeys(kms: KMSClient, count: number): Promise<FleetKey[]> {
  return Promise.all(
    newRecordIds(count).map(async (id, index) => {
      const Tags = [{ TagKey: 'keyward:id', TagValue: id }];
      const { KeyMetadata } = await kms.send(new CreateKeyCommand({ Description: `key ${index}`, Tags }));
      return { id, keyId: KeyMetadata?.KeyId ?? '' };
    }),
  );
}

export function newRecordIds(count: number): string[] {
  return Array.from({ length: count }, () => randomUUID());
}

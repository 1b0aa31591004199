/** The rows of keys whose provider has changed. */
import type { Transaction } from '../../database/client.ts';
import type { Tags } from '../../domain/types.ts';

/** What a change of a provider's tags needs to know of a key. */
export type KeyTags = {
  id: string;
  tags: Tags;
  tags_all: Tags;
  due: string[] | null;
  /** Whether KMS can be told: the key is there, and not about to be deleted. */
  is_reachable: boolean;
};

export type TagsChange = { id: string; tags_all: Tags; due: string[] | null };

/**
 * Takes the rows of the provider's next keys, in the order of their ids, so that a sync under way ends before or sees the change.
 * @param after the id of the last one before.
 * @returns the keys, less those that went meanwhile; and the id of the last one that was looked for, null where there are no more.
 */
export async function holdKeysAfter(
  transaction: Transaction,
  provider: string,
  { after, count }: { after: string; count: number },
): Promise<{ keys: KeyTags[]; last: string | null }> {
  const ids = await transaction.$queryRaw<{ id: string }[]>`
    SELECT id FROM keys WHERE provider = ${provider} AND state <> 'deleted' AND id > ${after}::uuid ORDER BY id LIMIT ${count}`;
  return { keys: await hold(transaction, ids), last: ids.length < count ? null : (ids.at(-1)?.id ?? null) };
}

/** The same for one key, if a change has not come to it yet. */
export async function holdKeyBehind(transaction: Transaction, keyId: string): Promise<KeyTags[]> {
  const ids = await transaction.$queryRaw<{ id: string }[]>`
    SELECT id FROM keys WHERE id = ${keyId}::uuid AND state <> 'deleted' AND EXISTS (
      SELECT 1 FROM provider_changes c WHERE c.provider = keys.provider AND c.reached < keys.id)`;
  return hold(transaction, ids);
}

async function hold(transaction: Transaction, keys: { id: string }[]): Promise<KeyTags[]> {
  if (keys.length === 0) return [];
  const ids = keys.map(({ id }) => id);
  await transaction.$executeRaw`
    SELECT 1 FROM work WHERE key_ref = ANY(${ids}::uuid[]) ORDER BY key_ref FOR NO KEY UPDATE`;
  return transaction.$queryRaw<KeyTags[]>`
    SELECT id, tags, tags_all, default_tags_due AS due, lifecycle = 'managed' AND state <> 'failed' AS is_reachable
    FROM keys WHERE id = ANY(${ids}::uuid[]) AND state <> 'deleted' ORDER BY id FOR NO KEY UPDATE`;
}

/** Records the tags that keys are to have, and has those told to KMS that it may not hold. */
export async function writeTags(transaction: Transaction, changes: TagsChange[]): Promise<void> {
  if (changes.length === 0) return;
  const entries = JSON.stringify(changes);
  await transaction.$executeRaw`
    UPDATE work SET
      asked = asked + 1, status_version = status_version + 1,
      due_at = CASE WHEN change.due IS NOT NULL THEN least(due_at, now()) ELSE due_at END
    FROM jsonb_to_recordset(${entries}::jsonb) AS change (id uuid, due jsonb)
    WHERE work.key_ref = change.id`;
  await transaction.$executeRaw`
    UPDATE keys SET
      tags_all = change.tags_all, default_tags_due = change.due, updated_at = now(),
      state = CASE WHEN change.due IS NOT NULL AND state IN ('in_sync', 'drifted') THEN 'updating' ELSE state END
    FROM jsonb_to_recordset(${entries}::jsonb) AS change (id uuid, tags_all jsonb, due jsonb)
    WHERE keys.id = change.id`;
}

/**
 * Keys that are observed on schedule are due no later than by the new interval, each at a time of its own. A look under way goes
 * round again, since it may end with the old one.
 */
export async function hasten(transaction: Transaction, keyIds: string[], intervalSeconds: number): Promise<void> {
  await transaction.$executeRaw`
    UPDATE work SET asked = asked + CASE WHEN lease_token IS NULL THEN 0 ELSE 1 END,
      due_at = least(due_at, now() + random() * ${intervalSeconds} * interval '1 second')
    FROM keys
    WHERE key_ref = ANY(${keyIds}::uuid[]) AND keys.id = key_ref AND lifecycle = 'managed' AND state IN ('in_sync', 'drifted')`;
}

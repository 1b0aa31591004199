/** A change of what a provider says of tags, on all of its keys: accepted at once, and carried out by their syncs. */
import type { Transaction } from '../../database/client.ts';
import {
  changedTagNames,
  isIgnored,
  isReservedByAws,
  mergeTags,
  mostTags,
  type TagSettings,
} from '../../domain/tags.ts';
import type { Tags, Violation } from '../../domain/types.ts';
import { invalidInput } from '../problems.ts';

/** Keys read and written at once. */
const batchSize = 1000;
/** How many keys an error names. */
const mostNamed = 1000;

type KeyTags = {
  id: string;
  tags: Tags;
  tags_all: Tags;
  /** What KMS was last seen to hold. */
  held: Tags | null;
  due: string[] | null;
  /** Whether KMS can be told: the key is there, and not about to be deleted. */
  is_reachable: boolean;
};

type TagsChange = { id: string; tags_all: Tags; due: string[] | null };

/**
 * Records the tags that each of the provider's keys is to have from now on. The provider's row must be locked.
 * @returns how many keys have to be told to KMS.
 * @throws ProblemError invalid-input, naming every key that would have too many tags; nothing is changed then.
 */
export async function recordTagsChange(
  transaction: Transaction,
  provider: string,
  settings: TagSettings,
  ownershipTagName: string,
): Promise<number> {
  const changes: TagsChange[] = [];
  const overfull: Violation[] = [];
  for await (const key of keysOf(transaction, provider)) {
    const change = changeOf(key, settings);
    if (change === null) continue;
    changes.push(change);
    const total = tagsInKms(key, change.tags_all, settings, ownershipTagName);
    if (total > mostTags) overfull.push(tooMany(key.id, total));
  }
  if (overfull.length > 0) throw refusedWhole(overfull);
  for (let start = 0; start < changes.length; start += batchSize) {
    await write(transaction, changes.slice(start, start + batchSize));
  }
  return changes.filter(({ due }) => due !== null).length;
}

/** In the order of their ids, and locked, so that a sync under way ends before or sees the change. */
async function* keysOf(transaction: Transaction, provider: string): AsyncGenerator<KeyTags> {
  let last = '00000000-0000-0000-0000-000000000000';
  for (;;) {
    const batch = await transaction.$queryRaw<KeyTags[]>`
      SELECT id, tags, tags_all, observed -> 'tags' AS held, default_tags_due AS due,
        lifecycle = 'managed' AND state <> 'failed' AS is_reachable
      FROM keys WHERE provider = ${provider} AND state <> 'deleted' AND id > ${last}::uuid
      ORDER BY id LIMIT ${batchSize} FOR NO KEY UPDATE`;
    yield* batch;
    const end = batch.at(-1);
    if (end === undefined || batch.length < batchSize) return;
    last = end.id;
  }
}

/** What an earlier change has left to do stays to be done: a change can be superseded midway. */
function changeOf(
  { id, tags, tags_all: before, due, is_reachable }: KeyTags,
  settings: TagSettings,
): TagsChange | null {
  const after = mergeTags(settings, tags);
  const changed = changedTagNames(before, after);
  if (changed.length === 0) return null;
  const names = [...new Set([...(due ?? []), ...changed])].filter((name) => !isIgnored(name, settings.ignore_tags));
  return { id, tags_all: after, due: is_reachable && names.length > 0 ? names : null };
}

/** Tags of other systems take room too, but for AWS's own. */
function tagsInKms({ held }: KeyTags, tagsAll: Tags, { ignore_tags }: TagSettings, ownershipTagName: string): number {
  const others = Object.keys(held ?? {}).filter((name) => isIgnored(name, ignore_tags) && !isReservedByAws(name));
  return new Set([...Object.keys(tagsAll), ...others, ownershipTagName]).size;
}

function tooMany(id: string, total: number): Violation {
  return { pointer: '/default_tags', detail: `Key ${id} would have ${total} tags; KMS takes ${mostTags}.` };
}

function refusedWhole(overfull: Violation[]) {
  const left = overfull.length - mostNamed;
  const more = { pointer: '/default_tags', detail: `And ${left} more keys.` };
  return invalidInput(left > 0 ? [...overfull.slice(0, mostNamed), more] : overfull);
}

async function write(transaction: Transaction, changes: TagsChange[]): Promise<void> {
  await transaction.$executeRaw`
    UPDATE keys SET
      tags_all = change.tags_all, default_tags_due = change.due, tags_version = tags_version + 1,
      status_version = status_version + 1, updated_at = now(),
      state = CASE WHEN change.due IS NOT NULL AND state IN ('in_sync', 'drifted') THEN 'updating' ELSE state END,
      due_at = CASE WHEN change.due IS NOT NULL THEN least(due_at, now()) ELSE due_at END
    FROM jsonb_to_recordset(${JSON.stringify(changes)}::jsonb) AS change (id uuid, tags_all jsonb, due jsonb)
    WHERE keys.id = change.id`;
}

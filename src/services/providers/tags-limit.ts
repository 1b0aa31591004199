/** Whether all keys of a provider have room for the tags that it is to give them. */
import { Prisma, type Transaction } from '../../database/client.ts';
import type { Rights } from '../../domain/access.ts';
import {
  changedTagNames,
  isIgnored,
  isReservedByAws,
  mergeTags,
  mostTags,
  type TagSettings,
} from '../../domain/tags.ts';
import type { Tags, Violation } from '../../domain/types.ts';
import { placeOf } from '../access/keys.ts';
import { invalidInput } from '../problems.ts';

/** `held`: what KMS was last seen to hold. */
type KeyTags = { id: string; provider: string; tags: Tags; tags_all: Tags; held: Tags | null };

/** What PostgreSQL knew when the keys were looked at: a key that is written later is none of those that were seen. */
export type Horizon = string;

export async function horizonOf(database: Pick<Transaction, '$queryRaw'>): Promise<Horizon> {
  const [row] = await database.$queryRaw<{ horizon: string }[]>`
    SELECT pg_snapshot_xmin(pg_current_snapshot())::text AS horizon`;
  return row?.horizon ?? '0';
}

/**
 * Looks at the provider's keys without keeping anybody from changing them.
 * @param since only those that were written since; null: all.
 * @throws ProblemError invalid-input, naming every key that would have too many tags and that may be seen.
 */
export async function assertRoomForTags(
  database: Pick<Transaction, '$queryRaw'>,
  provider: string,
  settings: TagSettings,
  { since, ownershipTagName, rights }: { since: Horizon | null; ownershipTagName: string; rights: Rights },
): Promise<void> {
  const isRecent = since === null ? Prisma.sql`true` : Prisma.sql`age(xmin) <= age(${since}::xid8::xid)`;
  const { keys, key_prefixes } = settings.ignore_tags;
  const mayHoldOthers = keys.length + key_prefixes.length > 0;
  // Most keys are far from the limit, whatever of these names are the same: only the others need be read.
  const others = mayHoldOthers
    ? Prisma.sql`(SELECT count(*) FROM json_object_keys(
        CASE json_typeof(observed -> 'tags') WHEN 'object' THEN observed -> 'tags' ELSE '{}' END))`
    : Prisma.sql`0`;
  const most = mostTags - 1 - Object.keys(settings.default_tags).length;
  const candidates = await database.$queryRaw<KeyTags[]>`
    SELECT id, provider, tags, tags_all, observed -> 'tags' AS held FROM keys
    WHERE provider = ${provider} AND state <> 'deleted' AND ${isRecent}
      AND (SELECT count(*) FROM jsonb_object_keys(tags)) + ${others} > ${most}
    ORDER BY id`;
  const overfull = candidates.flatMap((key) => {
    const after = mergeTags(settings, key.tags);
    if (changedTagNames(key.tags_all, after).length === 0) return [];
    const total = tagsInKms(key, after, settings, ownershipTagName);
    if (total <= mostTags) return [];
    return [rights.access.may('keys:read', placeOf(key)) ? tooMany(`Key ${key.id} would have ${total} tags`) : hidden];
  });
  const told = overfull.filter((violation) => violation !== hidden);
  if (overfull.length > 0) throw invalidInput(told.length < overfull.length ? [hidden, ...told] : told);
}

/** Tags of other systems take room too, but for AWS's own. */
function tagsInKms({ held }: KeyTags, tagsAll: Tags, { ignore_tags }: TagSettings, ownershipTagName: string): number {
  const others = Object.keys(held ?? {}).filter((name) => isIgnored(name, ignore_tags) && !isReservedByAws(name));
  return new Set([...Object.keys(tagsAll), ...others, ownershipTagName]).size;
}

function tooMany(what: string): Violation {
  return { pointer: '/default_tags', code: 'too_many', detail: `${what}; KMS takes ${mostTags}.` };
}

/** Which keys they are, and how many, is not for whoever may not see them. */
const hidden = tooMany('Keys that you may not see would have too many tags');

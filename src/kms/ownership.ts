/** Finds a key by its ownership tag, after a CreateKey whose outcome is unknown. */
import { GetResourcesCommand } from '@aws-sdk/client-resource-groups-tagging-api';
import type { Kms } from './client.ts';
import { call, endingList, KmsFailure, unusableAnswer } from './errors.ts';
import { listKeys } from './inventory.ts';
import { describeKey, readTags } from './observe.ts';

export type Wanted = {
  /** The value of the ownership tag. */
  owner: string;
  /** A key that was made before cannot be the one. */
  madeSince: Date;
  /** Tells which of these key ids Keyward has records of: they are not looked at. */
  knownAmong: (keyIds: string[]) => Promise<Set<string>>;
  /** Milliseconds by which reads may be older than a write. */
  settle: number;
};

/** A way to find owned keys: listing every key, or AWS's index of tags where that may be used. */
export type OwnershipSearch = {
  /** @throws KmsFailure */
  find(wanted: Wanted): Promise<Found>;
};

/** KMS key ids: those that carry the tag with this value, and those of which KMS won't tell Keyward whether they do. */
export type Found = { owned: string[]; unread: string[] };

/** How many keys are looked at at once. */
const concurrency = 8;
const largestPage = 1000;
/** Milliseconds by which KMS's clock may differ from the one that `madeSince` is told by. */
const clockTolerance = 600_000;

/** What a process remembers of a key: when KMS made it, when it was first seen here, and whose it is once that is sure. */
type Seen = { madeAt: number; seenAt: number; owner?: string | undefined; isSure?: boolean };

/**
 * Lists all keys (1000 a call; KMS gives them in no order of age, and without dates), asks for the date of each that
 * Keyward has no record of (one call, once in the life of the process), and reads the tags (one call) of those alone that
 * are young enough to be the one: again only while a read may be older than the key, whose tags came with it.
 */
export function searchByListing(kms: Kms, ownershipTagName: string): OwnershipSearch {
  const seen = new Map<string, Seen>();
  const carries = async (keyId: string, { owner, madeSince, settle }: Wanted) => {
    const key = seen.get(keyId) ?? { madeAt: await creationDateOf(kms, keyId), seenAt: performance.now() };
    seen.set(keyId, key);
    if (!isYoung(key.madeAt, madeSince)) return false;
    if (key.isSure) return key.owner === owner;
    const isSure = performance.now() - key.seenAt > settle;
    const tags = await readTags(kms, keyId);
    seen.set(keyId, { ...key, owner: tags[ownershipTagName], isSure });
    return tags[ownershipTagName] === owner;
  };
  return {
    find: async (wanted) => {
      const found: Found = { owned: [], unread: [] };
      for await (const page of keyPages(kms)) {
        const known = await wanted.knownAmong(page);
        const unknown = page.filter((keyId) => !known.has(keyId));
        for (let start = 0; start < unknown.length; start += concurrency) {
          const batch = unknown.slice(start, start + concurrency);
          const verdicts = await Promise.all(batch.map((keyId) => verdictOf(carries(keyId, wanted))));
          found.owned.push(...batch.filter((_keyId, index) => verdicts[index] === 'owned'));
          found.unread.push(...batch.filter((_keyId, index) => verdicts[index] === 'unread'));
        }
      }
      return found;
    },
  };
}

/** A key that was made before, by clocks that may differ, is not the one. */
function isYoung(madeAt: number, madeSince: Date): boolean {
  return madeAt >= madeSince.getTime() - clockTolerance;
}

async function isMadeSince(kms: Kms, keyId: string, madeSince: Date): Promise<boolean> {
  return isYoung(await creationDateOf(kms, keyId), madeSince);
}

/** A key that is gone by now is none; one that KMS won't let Keyward read may be the one. */
async function verdictOf(carries: Promise<boolean>): Promise<'owned' | 'other' | 'unread'> {
  try {
    return (await carries) ? 'owned' : 'other';
  } catch (error) {
    if (error instanceof KmsFailure && error.kind === 'not_found') return 'other';
    if (error instanceof KmsFailure && (error.kind === 'denied' || error.kind === 'refused')) return 'unread';
    throw error;
  }
}

/**
 * Asks the Resource Groups Tagging API: one call, whatever the size of the account, and one for each key that it tells of. It needs the permission
 * tag:GetResources, and its index lags behind KMS, which the settling time has to cover.
 */
export function searchByTaggingApi(kms: Kms, ownershipTagName: string): OwnershipSearch {
  return {
    find: async ({ owner, madeSince, knownAmong }) => {
      const found: string[] = [];
      const ends = endingList('GetResources');
      let token: string | undefined;
      do {
        const page = await call('GetResources', () =>
          kms.tagging.send(
            new GetResourcesCommand({
              ResourceTypeFilters: ['kms:key'],
              TagFilters: [{ Key: ownershipTagName, Values: [owner] }],
              ...(token === undefined ? {} : { PaginationToken: token }),
            }),
          ),
        );
        if (page.ResourceTagMappingList === undefined) throw unusableAnswer('GetResources', 'ResourceTagMappingList');
        for (const { ResourceARN } of page.ResourceTagMappingList) {
          const keyId = ResourceARN?.split(':key/')[1];
          if (keyId === undefined) throw unusableAnswer('GetResources', "a key's ResourceARN");
          found.push(keyId);
        }
        token = ends(page.PaginationToken || null) ?? undefined;
      } while (token !== undefined);
      const known = await knownAmong(found);
      const unknown = found.filter((keyId) => !known.has(keyId));
      // Whoever may tag a key can have an old one carry this tag.
      const verdicts = await Promise.all(unknown.map((keyId) => verdictOf(isMadeSince(kms, keyId, madeSince))));
      return {
        owned: unknown.filter((_keyId, index) => verdicts[index] === 'owned'),
        unread: unknown.filter((_keyId, index) => verdicts[index] === 'unread'),
      };
    },
  };
}

async function* keyPages(kms: Kms): AsyncGenerator<string[]> {
  const ends = endingList('ListKeys');
  let marker: string | null = null;
  do {
    const page: Awaited<ReturnType<typeof listKeys>> = await listKeys(kms, largestPage, marker);
    yield page.keys.map(({ key_id }) => key_id);
    marker = ends(page.next);
  } while (marker !== null);
}

/** Milliseconds since the epoch; where KMS does not tell, the key may be as young as can be. */
async function creationDateOf(kms: Kms, keyId: string): Promise<number> {
  return (await describeKey(kms, keyId)).created_at?.getTime() ?? Number.POSITIVE_INFINITY;
}

/** Finds a key by its ownership tag, after a CreateKey whose outcome is unknown. */
import { ListKeysCommand } from '@aws-sdk/client-kms';
import type { Kms } from './client.ts';
import { call, KmsFailure } from './errors.ts';
import { readTags } from './observe.ts';

/** A way to find owned keys: listing every key, here; a tagging index, where one may be used. */
export type OwnershipSearch = {
  /**
   * @param isKnown tells which of these key ids Keyward has records of: their tags need not be read.
   * @returns the KMS key ids that carry the tag with this value.
   * @throws KmsFailure
   */
  find(owner: string, isKnown: (keyIds: string[]) => Promise<Set<string>>): Promise<string[]>;
};

/** How many tag sets are read at once. */
const concurrency = 8;

/** Lists all keys (1000 a call) and reads the tags of those that Keyward has no record of (one call each). */
export function searchByListing(kms: Kms, ownershipTagName: string): OwnershipSearch {
  return {
    find: async (owner, isKnown) => {
      const found: string[] = [];
      for await (const page of keyPages(kms)) {
        const known = await isKnown(page);
        const unknown = page.filter((keyId) => !known.has(keyId));
        for (let start = 0; start < unknown.length; start += concurrency) {
          const batch = unknown.slice(start, start + concurrency);
          const tagSets = await Promise.all(batch.map((keyId) => tagsIfThere(kms, keyId)));
          found.push(...batch.filter((_keyId, index) => tagSets[index]?.[ownershipTagName] === owner));
        }
      }
      return found;
    },
  };
}

async function* keyPages(kms: Kms): AsyncGenerator<string[]> {
  let marker: string | undefined;
  do {
    const page = await call('ListKeys', () =>
      kms.reads.send(new ListKeysCommand({ Limit: 1000, ...(marker === undefined ? {} : { Marker: marker }) })),
    );
    yield (page.Keys ?? []).flatMap(({ KeyId }) => (KeyId === undefined ? [] : [KeyId]));
    marker = page.Truncated ? page.NextMarker : undefined;
  } while (marker !== undefined);
}

/** AWS managed keys and keys that are gone by now have no tags to read. */
async function tagsIfThere(kms: Kms, keyId: string) {
  try {
    return await readTags(kms, keyId);
  } catch (error) {
    if (error instanceof KmsFailure && (error.kind === 'not_found' || error.kind === 'refused')) return {};
    throw error;
  }
}

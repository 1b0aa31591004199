/** What an account and Region hold, a page at a time. */
import { ListAliasesCommand, type ListAliasesCommandInput, ListKeysCommand } from '@aws-sdk/client-kms';
import { storableText } from '../domain/text.ts';
import type { Tags } from '../domain/types.ts';
import type { Kms } from './client.ts';
import { call, endingList, KmsFailure, nextMarker, unusableAnswer } from './errors.ts';
import { type DescribedKey, describeKey, readTags, unlessHidden } from './observe.ts';

export type ListedKey = { key_id: string; arn: string };

/**
 * One ListKeys call. KMS gives keys in no order of age, AWS managed ones among them.
 * @param limit 1 to 1000.
 * @returns the keys, and the marker of the next page or null.
 * @throws KmsFailure
 */
export async function listKeys(kms: Kms, limit: number, marker: string | null) {
  const input = { Limit: limit, ...(marker === null ? {} : { Marker: marker }) };
  const page = await call('ListKeys', () => kms.reads.send(new ListKeysCommand(input)));
  if (page.Keys === undefined) throw unusableAnswer('ListKeys', 'Keys');
  const keys = page.Keys.map(({ KeyId, KeyArn }): ListedKey => {
    if (KeyId === undefined || KeyArn === undefined) throw unusableAnswer('ListKeys', "a key's KeyId and KeyArn");
    return { key_id: KeyId, arn: KeyArn };
  });
  return { keys, next: nextMarker('ListKeys', page) };
}

/** What KMS tells of a key; null: nothing, since the key's policy shuts Keyward out. */
export type Inspected = { key: DescribedKey | null; tags: Tags | null };

/** A key with its tags, which an AWS managed key has none of. Two calls. null: it is gone by now. @throws KmsFailure */
export async function inspectKey(kms: Kms, keyId: string): Promise<Inspected | null> {
  try {
    const key = await unlessHidden(() => describeKey(kms, keyId), ['denied', 'refused']);
    return { key, tags: key?.key_manager === 'AWS' ? {} : await tagsOf(kms, keyId) };
  } catch (error) {
    if (error instanceof KmsFailure && error.kind === 'not_found') return null;
    throw error;
  }
}

const largestPageOfAliases = 100;

/** The names of all aliases, by the id of their key; null: KMS does not tell. @throws KmsFailure */
export async function listAliases(kms: Kms): Promise<Map<string, string[]> | null> {
  const found = new Map<string, string[]>();
  const ends = endingList('ListAliases', Number.POSITIVE_INFINITY);
  let marker: string | null = null;
  do {
    const input: ListAliasesCommandInput = {
      Limit: largestPageOfAliases,
      ...(marker === null ? {} : { Marker: marker }),
    };
    const page = await unlessHidden(
      () => call('ListAliases', () => kms.reads.send(new ListAliasesCommand(input))),
      ['denied', 'unsupported'],
    );
    if (page?.Aliases === undefined) return null;
    for (const { AliasName: name, TargetKeyId: keyId } of page.Aliases) {
      // AWS shows aliases of services that have no key yet.
      if (name !== undefined && keyId !== undefined)
        found.set(keyId, [...(found.get(keyId) ?? []), storableText(name)]);
    }
    marker = ends(nextMarker('ListAliases', page));
  } while (marker !== null);
  return found;
}

/** A key's tags; null when they can't be read. One call. @throws KmsFailure */
export function tagsOf(kms: Kms, keyId: string): Promise<Tags | null> {
  return unlessHidden(() => readTags(kms, keyId));
}

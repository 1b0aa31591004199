/** What an account and Region hold, a page at a time. */
import { ListKeysCommand } from '@aws-sdk/client-kms';
import type { Tags } from '../domain/types.ts';
import type { Kms } from './client.ts';
import { call, nextMarker, unusableAnswer } from './errors.ts';
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

/** A key with its tags. Two calls. null: it is gone by now, or its policy shuts Keyward out. @throws KmsFailure */
export async function inspectKey(kms: Kms, keyId: string): Promise<{ key: DescribedKey; tags: Tags } | null> {
  const key = await unlessHidden(() => describeKey(kms, keyId));
  if (key === null) return null;
  const tags = key.key_manager === 'AWS' ? {} : await unlessHidden(() => readTags(kms, keyId));
  return tags === null ? null : { key, tags };
}

/** A key's tags; null when they can't be read. One call. @throws KmsFailure */
export function tagsOf(kms: Kms, keyId: string): Promise<Tags | null> {
  return unlessHidden(() => readTags(kms, keyId));
}

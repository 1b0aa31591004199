/** Many keys at once, put straight into the store of a local KMS. */
import { newKey } from '../src/local/kms/new-key.ts';
import type { Store } from '../src/local/kms/store.ts';

const place = { account: '111122223333', region: 'us-east-1' };

/** Puts plain keys into the store. @param tagsOf the tags of each. @returns their key ids. */
export function seedKeys(
  store: Store,
  count: number,
  tagsOf: (index: number) => [string, string][] = () => [],
): string[] {
  const keys = Array.from({ length: count }, (_, index) => ({
    ...newKey(place, Date.now()),
    description: `key ${index}`,
    tags: tagsOf(index),
  }));
  // In the order of the table, which splits its pages otherwise.
  const inOrder = keys.toSorted((one, other) => (one.keyId < other.keyId ? -1 : 1));
  store.transaction(() => {
    for (const key of inOrder) store.saveKey(key);
  });
  return keys.map(({ keyId }) => keyId);
}

/** A key as DescribeKey and the operations that make keys show it. */
import type { Context } from './context.ts';
import { keyMetadata } from './key-metadata.ts';
import { materialId, rotationsOf } from './rotations.ts';
import type { StoredKey } from './store.ts';

const mostStores = 1000;

/** KeyMetadata of a key, with what it has from its primary key and its custom key store. */
export function metadataOf(context: Context, key: StoredKey): object {
  const holder = rotationHolder(context, key);
  const rotations = rotationsOf(holder, context.clock.now()).length;
  const stores = key.customKeyStoreId === null ? [] : context.store.listKeyStores(key, '', mostStores);
  const store = stores.find(({ id }) => id === key.customKeyStoreId);
  return keyMetadata(key, {
    currentMaterialId: materialId(holder, rotations),
    cloudHsmClusterId: store?.cloudHsm?.clusterId,
  });
}

/** The key that holds the rotation of this one: its primary, for a replica. */
export function rotationHolder({ store }: Pick<Context, 'store'>, key: StoredKey): StoredKey {
  if (key.primaryRegion === null || key.primaryRegion === key.region) return key;
  return store.findKey({ account: key.account, region: key.primaryRegion }, key.keyId) ?? key;
}

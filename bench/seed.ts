/** Many keys at once, put straight into the store of a local KMS. */
import { randomUUID } from 'node:crypto';
import { defaultPolicy } from '../src/local/kms/policy.ts';
import type { Store, StoredKey } from '../src/local/kms/store.ts';

const place = { account: '111122223333', region: 'us-east-1' };

/** Puts plain keys into the store. @returns their key ids. */
export function seedKeys(store: Store, count: number): string[] {
  const policy = defaultPolicy(place.account);
  const keys = Array.from({ length: count }, (_, index): StoredKey => {
    const now = Date.now();
    return {
      ...place,
      keyId: randomUUID(),
      createdAt: now,
      description: `key ${index}`,
      usage: 'ENCRYPT_DECRYPT',
      spec: 'SYMMETRIC_DEFAULT',
      origin: 'AWS_KMS',
      manager: 'CUSTOMER',
      enabled: true,
      unavailable: false,
      deletionAt: null,
      windowAfterReplicas: null,
      multiRegion: false,
      primaryRegion: null,
      replicaRegions: [],
      policy,
      tags: [],
      rotation: { enabled: false, periodInDays: 365, since: now },
      rotations: [],
      customKeyStoreId: null,
      xksKeyId: null,
    };
  });
  store.transaction(() => {
    for (const key of keys) store.saveKey(key);
  });
  return keys.map(({ keyId }) => keyId);
}

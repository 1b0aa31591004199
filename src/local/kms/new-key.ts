/** A key as it is before anything is said of it: symmetric, enabled, with the default policy. */
import { randomUUID } from 'node:crypto';
import { standardRotationPeriod } from '../../domain/arguments.ts';
import { defaultPolicy } from './policy.ts';
import type { Place, StoredKey } from './store.ts';

/** @param now milliseconds since the epoch. */
export function newKey({ account, region }: Place, now: number): StoredKey {
  return {
    account,
    region,
    keyId: randomUUID(),
    createdAt: now,
    description: '',
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
    policy: defaultPolicy({ account, region }),
    tags: [],
    rotation: { enabled: false, periodInDays: standardRotationPeriod, since: now },
    rotations: [],
    customKeyStoreId: null,
    xksKeyId: null,
  };
}

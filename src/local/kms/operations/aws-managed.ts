/** AWS managed keys: they come into being when they are first asked for, by the alias of their service. */
import { randomUUID } from 'node:crypto';
import type { Context } from '../context.ts';
import { defaultPolicy } from '../policy.ts';
import type { StoredKey } from '../store.ts';

const serviceAlias = /(?:^|:)(alias\/aws\/[a-z0-9_/-]+)$/;

/** The key behind an alias of an AWS service; undefined for any other name. */
export function findAwsManagedKey({ store, caller, clock }: Context, given: string): StoredKey | undefined {
  const name = serviceAlias.exec(given)?.[1];
  if (name === undefined || store.findAlias(caller, name) !== undefined) return undefined;
  const now = clock.now();
  const key: StoredKey = {
    account: caller.account,
    region: caller.region,
    keyId: randomUUID(),
    createdAt: now,
    description: `Default key that protects my ${name.split('/').at(-1)} data when no other key is defined`,
    usage: 'ENCRYPT_DECRYPT',
    spec: 'SYMMETRIC_DEFAULT',
    origin: 'AWS_KMS',
    manager: 'AWS',
    enabled: true,
    unavailable: false,
    deletionAt: null,
    windowAfterReplicas: null,
    multiRegion: false,
    primaryRegion: null,
    replicaRegions: [],
    policy: defaultPolicy(caller.account),
    tags: [],
    rotation: { enabled: true, periodInDays: 365, since: now },
    rotations: [],
    customKeyStoreId: null,
    xksKeyId: null,
  };
  store.transaction(() => {
    store.saveKey(key);
    const { account, region } = caller;
    store.saveAlias({ account, region, name, keyId: key.keyId, createdAt: now, updatedAt: now });
  });
  return key;
}

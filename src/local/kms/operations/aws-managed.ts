/** AWS managed keys: they come into being when they are first asked for, by the alias of their service. */
import { standardRotationPeriod } from '../../../domain/arguments.ts';
import type { Context } from '../context.ts';
import { newKey } from '../new-key.ts';
import type { StoredKey } from '../store.ts';

const serviceAlias = /(?:^|:)(alias\/aws\/[a-z0-9_/-]+)$/;

/** The key behind an alias of an AWS service; undefined for any other name. */
export function findAwsManagedKey({ store, caller, clock }: Context, given: string): StoredKey | undefined {
  const name = serviceAlias.exec(given)?.[1];
  if (name === undefined || store.findAlias(caller, name) !== undefined) return undefined;
  const now = clock.now();
  const key: StoredKey = {
    ...newKey(caller, now),
    description: `Default key that protects my ${name.split('/').at(-1)} data when no other key is defined`,
    manager: 'AWS',
    rotation: { enabled: true, periodInDays: standardRotationPeriod, since: now },
  };
  store.transaction(() => {
    store.saveKey(key);
    const { account, region } = caller;
    store.saveAlias({ account, region, name, keyId: key.keyId, createdAt: now, updatedAt: now });
  });
  return key;
}

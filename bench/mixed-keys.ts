/** Keys of every kind, put straight into the store of a local KMS, and how an import of all of them is to end. */
import type { ImportReasonCode } from '../src/domain/imports.ts';
import { newKey } from '../src/local/kms/new-key.ts';
import { Store, type StoredKey } from '../src/local/kms/store.ts';

const place = { account: '111122223333', region: 'us-east-1' };
const days = 86_400_000;

/** By the key's id in KMS; null: it is to be imported. */
export type Expected = Map<string, ImportReasonCode | null>;

type Kind = { reason: ImportReasonCode | null; as: (key: StoredKey) => Partial<StoredKey> };

const odd: Kind[] = [
  { reason: 'pending_deletion', as: () => ({ enabled: false, deletionAt: Date.now() + 20 * days }) },
  {
    reason: 'aws_managed',
    as: () => ({ manager: 'AWS', rotation: { enabled: true, periodInDays: 365, since: Date.now() } }),
  },
  {
    reason: null,
    as: ({ keyId }) => ({ keyId: `mrk-${keyId.replaceAll('-', '')}`, multiRegion: true, primaryRegion: 'eu-west-1' }),
  },
  { reason: 'state_unclear', as: () => ({ unavailable: true }) },
  { reason: null, as: () => ({ enabled: false }) },
  { reason: null, as: () => ({ spec: 'RSA_2048', usage: 'SIGN_VERIFY' }) },
  { reason: null, as: () => ({ spec: 'HMAC_256', usage: 'GENERATE_VERIFY_MAC' }) },
  { reason: null, as: () => ({ spec: 'ECC_NIST_P256', usage: 'KEY_AGREEMENT' }) },
  {
    reason: null,
    as: ({ keyId }) => ({
      keyId: `mrk-${keyId.replaceAll('-', '')}`,
      multiRegion: true,
      primaryRegion: place.region,
    }),
  },
  { reason: null, as: () => ({ rotation: { enabled: true, periodInDays: 180, since: Date.now() } }) },
];

/** Of so many keys, one is of each odd kind. */
const oneOfEach = 25;

/** Makes the keys. @returns how each is to end, and those of which everything can be read. */
export function seedMixedKeys(dataDir: string, count: number): { expected: Expected; readable: string[] } {
  const store = new Store(dataDir);
  const expected: Expected = new Map();
  const readable: string[] = [];
  store.transaction(() => {
    for (let index = 0; index < count; index += 1) {
      const { reason, as } = odd[index % oneOfEach] ?? { reason: null, as: () => ({}) };
      const plain = newKey(place, Date.now());
      const tags: [string, string][] = [
        ['team', `team-${index % 7}`],
        ['number', String(index)],
      ];
      const key = { ...plain, description: `made by hand: ${index}`, tags, ...as(plain) };
      store.saveKey(key);
      if (index % 3 === 0) {
        const name = `alias/by-hand-${index}`;
        store.saveAlias({ ...place, name, keyId: key.keyId, createdAt: Date.now(), updatedAt: Date.now() });
      }
      expected.set(key.keyId, reason);
      if (reason === null && key.spec === 'SYMMETRIC_DEFAULT') readable.push(key.keyId);
    }
  });
  store.close();
  return { expected, readable };
}

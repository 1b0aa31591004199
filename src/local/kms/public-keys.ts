/**
 * Public keys of asymmetric KMS keys. A pair is made when its public half is first asked for, which is on record from then on;
 * the private half is forgotten, as nothing here would use it.
 */
import { generateKeyPairSync, type KeyObject } from 'node:crypto';
import type { DatabaseSync } from 'node:sqlite';
import type { KeySpec } from '../../domain/key-specs.ts';

const schema = `
  CREATE TABLE IF NOT EXISTS public_keys (
    account TEXT NOT NULL, key_id TEXT NOT NULL, der BLOB NOT NULL, PRIMARY KEY (account, key_id)
  ) WITHOUT ROWID;
`;

const curves: Partial<Record<KeySpec, string>> = {
  ECC_NIST_P256: 'P-256',
  ECC_NIST_P384: 'P-384',
  ECC_NIST_P521: 'P-521',
  ECC_SECG_P256K1: 'secp256k1',
  SM2: 'SM2',
};

const others: Partial<Record<KeySpec, () => { publicKey: KeyObject }>> = {
  ECC_NIST_EDWARDS25519: () => generateKeyPairSync('ed25519'),
  ML_DSA_44: () => generateKeyPairSync('ml-dsa-44'),
  ML_DSA_65: () => generateKeyPairSync('ml-dsa-65'),
  ML_DSA_87: () => generateKeyPairSync('ml-dsa-87'),
  ML_KEM_512: () => generateKeyPairSync('ml-kem-512'),
  ML_KEM_768: () => generateKeyPairSync('ml-kem-768'),
  ML_KEM_1024: () => generateKeyPairSync('ml-kem-1024'),
};

/** A new pair of a spec. @returns undefined for a spec that has none. */
function generate(spec: KeySpec): { publicKey: KeyObject } | undefined {
  const namedCurve = curves[spec];
  if (namedCurve !== undefined) return generateKeyPairSync('ec', { namedCurve });
  const bits = /^RSA_(\d+)$/.exec(spec)?.[1];
  if (bits !== undefined) return generateKeyPairSync('rsa', { modulusLength: Number(bits) });
  return others[spec]?.();
}

export class PublicKeys {
  readonly #database: DatabaseSync;

  constructor(database: DatabaseSync) {
    this.#database = database;
    database.exec(schema);
  }

  /** The public key as SubjectPublicKeyInfo, the same for all Regions of a key. @returns undefined for a symmetric spec. */
  of({ account, keyId, spec }: { account: string; keyId: string; spec: KeySpec }): Buffer | undefined {
    const sql = 'SELECT der FROM public_keys WHERE account = ? AND key_id = ?';
    const row = this.#database.prepare(sql).get(account, keyId);
    if (row !== undefined) return Buffer.from(row['der'] as Uint8Array);
    const der = generate(spec)?.publicKey.export({ type: 'spki', format: 'der' });
    if (der !== undefined) {
      this.#database.prepare('INSERT INTO public_keys VALUES (?, ?, ?)').run(account, keyId, der);
    }
    return der;
  }
}

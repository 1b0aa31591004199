/** The state of the local KMS in SQLite: on disk before a call is answered, so that a killed process loses nothing. */
import { mkdirSync } from 'node:fs';
import path from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import type { KeySpec, KeyUsage } from '../../domain/key-specs.ts';
import { Grants } from './grants.ts';
import { Identities } from './identities.ts';
import { PublicKeys } from './public-keys.ts';
import { StaleReads } from './stale-reads.ts';

/** Where keys live: accounts and Regions are kept apart. */
export type Place = { account: string; region: string };

export type Rotation = { at: number; type: 'AUTOMATIC' | 'ON_DEMAND' };

/** A key. Times are milliseconds since the epoch. */
export type StoredKey = Place & {
  keyId: string;
  createdAt: number;
  description: string;
  usage: KeyUsage;
  spec: KeySpec;
  origin: 'AWS_KMS' | 'EXTERNAL' | 'AWS_CLOUDHSM' | 'EXTERNAL_KEY_STORE';
  manager: 'AWS' | 'CUSTOMER';
  enabled: boolean;
  /** Its custom key store is disconnected. */
  unavailable: boolean;
  deletionAt: number | null;
  /** Days that a primary key waits once its last replica is gone; null unless its deletion waits for its replicas. */
  windowAfterReplicas: number | null;
  multiRegion: boolean;
  /** Region of the primary key; null for a single-Region key. */
  primaryRegion: string | null;
  replicaRegions: string[];
  policy: string;
  tags: [string, string][];
  rotation: { enabled: boolean; periodInDays: number; since: number };
  rotations: Rotation[];
  customKeyStoreId: string | null;
  xksKeyId: string | null;
};

/** A custom key store, with no cluster and no proxy behind it. */
export type StoredKeyStore = Place & {
  id: string;
  name: string;
  type: 'AWS_CLOUDHSM' | 'EXTERNAL_KEY_STORE';
  isConnected: boolean;
  createdAt: number;
  cloudHsm: { clusterId: string; trustAnchorCertificate: string } | null;
  xksProxy: {
    connectivity: 'PUBLIC_ENDPOINT' | 'VPC_ENDPOINT_SERVICE';
    uriEndpoint: string;
    uriPath: string;
    accessKeyId: string;
    vpcEndpointServiceName: string | null;
  } | null;
};

export type StoredAlias = Place & { name: string; keyId: string; createdAt: number; updatedAt: number };

const schema = `
  CREATE TABLE IF NOT EXISTS keys (
    account TEXT NOT NULL, region TEXT NOT NULL, key_id TEXT NOT NULL,
    deletion_at INTEGER, document TEXT NOT NULL,
    PRIMARY KEY (account, region, key_id)
  ) WITHOUT ROWID;
  CREATE INDEX IF NOT EXISTS keys_by_deletion ON keys (deletion_at) WHERE deletion_at IS NOT NULL;
  CREATE TABLE IF NOT EXISTS aliases (
    account TEXT NOT NULL, region TEXT NOT NULL, name TEXT NOT NULL, key_id TEXT NOT NULL,
    created_at INTEGER NOT NULL, updated_at INTEGER NOT NULL,
    PRIMARY KEY (account, region, name)
  ) WITHOUT ROWID;
  CREATE INDEX IF NOT EXISTS aliases_by_key ON aliases (account, region, key_id, name);
  CREATE TABLE IF NOT EXISTS key_stores (
    account TEXT NOT NULL, region TEXT NOT NULL, id TEXT NOT NULL, document TEXT NOT NULL,
    PRIMARY KEY (account, region, id)
  ) WITHOUT ROWID;
  CREATE INDEX IF NOT EXISTS keys_by_store ON keys (account, region, document ->> 'customKeyStoreId')
    WHERE document ->> 'customKeyStoreId' IS NOT NULL;
  CREATE TABLE IF NOT EXISTS settings (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
`;

/** The tables. All methods are synchronous: one call is one step that nothing else comes between. */
export class Store {
  readonly #database: DatabaseSync;
  readonly #statements = new Map<string, ReturnType<DatabaseSync['prepare']>>();
  readonly #keyCounts = new Map<string, number>();
  /** What readers may still see of the past. */
  readonly staleReads = new StaleReads<StoredKey>();
  /** Roles and their sessions. */
  readonly identities: Identities;
  readonly grants: Grants;
  readonly publicKeys: PublicKeys;

  /** @param dataDir folder of the database file; made if it is not there. */
  constructor(dataDir: string) {
    mkdirSync(dataDir, { recursive: true });
    this.#database = new DatabaseSync(path.join(dataDir, 'local-kms.sqlite'));
    this.#database.exec('PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA busy_timeout = 5000;');
    this.#database.exec(schema);
    this.identities = new Identities(this.#database);
    this.grants = new Grants(this.#database);
    this.publicKeys = new PublicKeys(this.#database);
  }

  close(): void {
    this.#database.close();
  }

  /** Runs several writes as one. */
  transaction(run: () => void): void {
    this.#database.exec('BEGIN IMMEDIATE');
    try {
      run();
      this.#database.exec('COMMIT');
    } catch (error) {
      this.#database.exec('ROLLBACK');
      throw error;
    }
  }

  findKey({ account, region }: Place, keyId: string): StoredKey | undefined {
    const row = this.#prepare('SELECT document FROM keys WHERE account = ? AND region = ? AND key_id = ?').get(
      account,
      region,
      keyId,
    );
    const current = row === undefined ? undefined : (JSON.parse(String(row['document'])) as StoredKey);
    return this.staleReads.seen({ account, region, keyId }, current);
  }

  saveKey(key: StoredKey): void {
    const before = this.findKey(key, key.keyId);
    if (before === undefined) this.#keyCounts.set(placeName(key), this.countKeys(key) + 1);
    this.staleReads.changed(key, before);
    this.#prepare('INSERT OR REPLACE INTO keys VALUES (?, ?, ?, ?, ?)').run(
      key.account,
      key.region,
      key.keyId,
      key.deletionAt,
      JSON.stringify(key),
    );
  }

  /** Key ids in their order, from after `after`. */
  listKeyIds({ account, region }: Place, after: string, limit: number): string[] {
    return this.#prepare(
      'SELECT key_id FROM keys WHERE account = ? AND region = ? AND key_id > ? ORDER BY key_id LIMIT ?',
    )
      .all(account, region, after, limit)
      .map((row) => String(row['key_id']));
  }

  /** Keys of a place; AWS's own are none of them. */
  countKeys(place: Place): number {
    const known = this.#keyCounts.get(placeName(place));
    if (known !== undefined) return known;
    const row = this.#prepare('SELECT count(*) AS count FROM keys WHERE account = ? AND region = ?').get(
      place.account,
      place.region,
    );
    const count = Number(row?.['count'] ?? 0);
    this.#keyCounts.set(placeName(place), count);
    return count;
  }

  /** Keys whose policy has the text in it. */
  keysWithPolicyText(text: string): StoredKey[] {
    return this.#prepare("SELECT document FROM keys WHERE instr(document ->> 'policy', ?) > 0")
      .all(text)
      .map((row) => JSON.parse(String(row['document'])) as StoredKey);
  }

  keysInStore({ account, region }: Place, storeId: string): StoredKey[] {
    return this.#prepare(
      "SELECT document FROM keys WHERE account = ? AND region = ? AND document ->> 'customKeyStoreId' = ?",
    )
      .all(account, region, storeId)
      .map((row) => JSON.parse(String(row['document'])) as StoredKey);
  }

  /** Keys whose time has come. */
  dueForDeletion(now: number): StoredKey[] {
    return this.#prepare('SELECT document FROM keys WHERE deletion_at <= ? ORDER BY deletion_at')
      .all(now)
      .map((row) => JSON.parse(String(row['document'])) as StoredKey);
  }

  /** Removes a key, its aliases and its grants. */
  removeKey({ account, region, keyId }: StoredKey): void {
    this.grants.removeOfKey({ account, region, keyId });
    this.#prepare('DELETE FROM aliases WHERE account = ? AND region = ? AND key_id = ?').run(account, region, keyId);
    this.#prepare('DELETE FROM keys WHERE account = ? AND region = ? AND key_id = ?').run(account, region, keyId);
    this.#keyCounts.delete(placeName({ account, region }));
  }

  /** Custom key stores by id, from after `after`. */
  listKeyStores({ account, region }: Place, after: string, limit: number): StoredKeyStore[] {
    return this.#prepare(
      'SELECT document FROM key_stores WHERE account = ? AND region = ? AND id > ? ORDER BY id LIMIT ?',
    )
      .all(account, region, after, limit)
      .map((row) => JSON.parse(String(row['document'])) as StoredKeyStore);
  }

  saveKeyStore(store: StoredKeyStore): void {
    const statement = this.#prepare('INSERT OR REPLACE INTO key_stores VALUES (?, ?, ?, ?)');
    statement.run(store.account, store.region, store.id, JSON.stringify(store));
  }

  removeKeyStore({ account, region, id }: StoredKeyStore): void {
    this.#prepare('DELETE FROM key_stores WHERE account = ? AND region = ? AND id = ?').run(account, region, id);
  }

  findAlias({ account, region }: Place, name: string): StoredAlias | undefined {
    const row = this.#prepare('SELECT * FROM aliases WHERE account = ? AND region = ? AND name = ?').get(
      account,
      region,
      name,
    );
    return row === undefined ? undefined : toAlias(row);
  }

  saveAlias({ account, region, name, keyId, createdAt, updatedAt }: StoredAlias): void {
    const statement = this.#prepare('INSERT OR REPLACE INTO aliases VALUES (?, ?, ?, ?, ?, ?)');
    statement.run(account, region, name, keyId, createdAt, updatedAt);
  }

  removeAlias({ account, region }: Place, name: string): void {
    this.#prepare('DELETE FROM aliases WHERE account = ? AND region = ? AND name = ?').run(account, region, name);
  }

  /** Aliases by name, from after `after`; of one key only, where one is named. */
  listAliases({ account, region }: Place, keyId: string | null, after: string, limit: number): StoredAlias[] {
    const ofKey = keyId === null ? '' : 'AND key_id = ?';
    const statement = this.#prepare(
      `SELECT * FROM aliases WHERE account = ? AND region = ? ${ofKey} AND name > ? ORDER BY name LIMIT ?`,
    );
    const rows =
      keyId === null
        ? statement.all(account, region, after, limit)
        : statement.all(account, region, keyId, after, limit);
    return rows.map(toAlias);
  }

  readSetting<Value>(name: string): Value | undefined {
    const row = this.#prepare('SELECT value FROM settings WHERE name = ?').get(name);
    return row === undefined ? undefined : (JSON.parse(String(row['value'])) as Value);
  }

  saveSetting(name: string, value: unknown): void {
    this.#prepare('INSERT OR REPLACE INTO settings VALUES (?, ?)').run(name, JSON.stringify(value));
  }

  #prepare(sql: string) {
    const known = this.#statements.get(sql);
    if (known !== undefined) return known;
    const statement = this.#database.prepare(sql);
    this.#statements.set(sql, statement);
    return statement;
  }
}

function placeName({ account, region }: Place): string {
  return `${account}/${region}`;
}

function toAlias(row: Record<string, unknown>): StoredAlias {
  return {
    account: String(row['account']),
    region: String(row['region']),
    name: String(row['name']),
    keyId: String(row['key_id']),
    createdAt: Number(row['created_at']),
    updatedAt: Number(row['updated_at']),
  };
}

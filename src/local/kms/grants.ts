/** Grants, as they are kept: on disk, as keys are. They give nobody a right here; nothing evaluates them. */
import { randomBytes } from 'node:crypto';
import type { DatabaseSync } from 'node:sqlite';
import { KmsError } from './errors.ts';

/** The key that a grant is of. */
type GrantedKey = { account: string; region: string; keyId: string };

export type StoredGrant = GrantedKey & {
  id: string;
  createdAt: number;
  name: string | null;
  granteePrincipal: string | null;
  granteeServicePrincipal: string | null;
  retiringPrincipal: string | null;
  retiringServicePrincipal: string | null;
  operations: string[];
  constraints: object | null;
};

const schema = `
  CREATE TABLE IF NOT EXISTS grants (
    account TEXT NOT NULL, region TEXT NOT NULL, key_id TEXT NOT NULL, id TEXT NOT NULL, document TEXT NOT NULL,
    PRIMARY KEY (account, region, key_id, id)
  ) WITHOUT ROWID;
  CREATE INDEX IF NOT EXISTS grants_by_retiring ON grants (account, region, document ->> 'retiringPrincipal', id);
`;

export class Grants {
  readonly #database: DatabaseSync;

  constructor(database: DatabaseSync) {
    this.#database = database;
    database.exec(schema);
  }

  save(grant: StoredGrant): void {
    const { account, region, keyId, id } = grant;
    const statement = this.#database.prepare('INSERT INTO grants VALUES (?, ?, ?, ?, ?)');
    statement.run(account, region, keyId, id, JSON.stringify(grant));
  }

  find({ account, region, keyId }: GrantedKey, id: string): StoredGrant | undefined {
    const sql = 'SELECT document FROM grants WHERE account = ? AND region = ? AND key_id = ? AND id = ?';
    return this.#read(sql, account, region, keyId, id)[0];
  }

  /** Of a key, by id. */
  ofKey({ account, region, keyId }: GrantedKey, after = ''): StoredGrant[] {
    const sql = 'SELECT document FROM grants WHERE account = ? AND region = ? AND key_id = ? AND id > ? ORDER BY id';
    return this.#read(sql, account, region, keyId, after);
  }

  count({ account, region, keyId }: GrantedKey): number {
    const sql = 'SELECT count(*) AS count FROM grants WHERE account = ? AND region = ? AND key_id = ?';
    return Number(this.#database.prepare(sql).get(account, region, keyId)?.['count']);
  }

  /** Of an account and Region, by id: those that a principal can retire. */
  retirableBy({ account, region }: Omit<GrantedKey, 'keyId'>, principal: string, after: string): StoredGrant[] {
    const sql = `SELECT document FROM grants
      WHERE account = ? AND region = ? AND document ->> 'retiringPrincipal' = ? AND id > ? ORDER BY id`;
    return this.#read(sql, account, region, principal, after);
  }

  remove({ account, region, keyId }: GrantedKey, id: string): void {
    const sql = 'DELETE FROM grants WHERE account = ? AND region = ? AND key_id = ? AND id = ?';
    this.#database.prepare(sql).run(account, region, keyId, id);
  }

  removeOfKey({ account, region, keyId }: GrantedKey): void {
    const sql = 'DELETE FROM grants WHERE account = ? AND region = ? AND key_id = ?';
    this.#database.prepare(sql).run(account, region, keyId);
  }

  #read(sql: string, ...values: string[]): StoredGrant[] {
    const rows = this.#database.prepare(sql).all(...values);
    return rows.map(({ document }) => JSON.parse(String(document)) as StoredGrant);
  }
}

/** Another one each time; any of them names the grant. */
export function grantToken({ account, region, keyId, id }: StoredGrant): string {
  const nonce = randomBytes(24).toString('base64url');
  return Buffer.from(JSON.stringify([account, region, keyId, id, nonce])).toString('base64url');
}

/** The key and the id of the grant that a token names. @throws KmsError InvalidGrantTokenException */
export function readGrantToken(token: string): GrantedKey & { id: string } {
  try {
    const [account, region, keyId, id] = JSON.parse(Buffer.from(token, 'base64url').toString()) as string[];
    if (account !== undefined && region !== undefined && keyId !== undefined && id !== undefined) {
      return { account, region, keyId, id };
    }
  } catch {
    // Falls to the refusal below.
  }
  throw new KmsError('InvalidGrantTokenException', 'The specified grant token is not valid.');
}

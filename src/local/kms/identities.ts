/** Roles that were registered, and the sessions of roles that were assumed. On disk, as keys are. */
import type { DatabaseSync } from 'node:sqlite';

/** A policy document, as JSON has it. */
export type Policy = Record<string, unknown>;

/** A role that was registered. Any other role exists too: anybody may assume it, and it may do everything. */
export type StoredRole = {
  arn: string;
  /** Who may assume it; undefined: anybody. */
  trust: Policy | undefined;
  /** What it may do; undefined: its calls are not evaluated. */
  policies: Policy[] | undefined;
  /** The longest session, in seconds. */
  maxSessionDuration: number;
};

/** Temporary credentials. */
export type StoredSession = {
  accessKeyId: string;
  secretAccessKey: string;
  sessionToken: string;
  roleArn: string;
  name: string;
  /** Milliseconds since the epoch, by the real clock. */
  expiresAt: number;
};

const schema = `
  CREATE TABLE IF NOT EXISTS roles (arn TEXT PRIMARY KEY, document TEXT NOT NULL) WITHOUT ROWID;
  CREATE TABLE IF NOT EXISTS sessions (access_key_id TEXT PRIMARY KEY, document TEXT NOT NULL) WITHOUT ROWID;
`;

export class Identities {
  readonly #database: DatabaseSync;
  readonly #roles = new Map<string, StoredRole>();
  readonly #sessions = new Map<string, StoredSession>();

  constructor(database: DatabaseSync) {
    this.#database = database;
    database.exec(schema);
    for (const role of this.#documents<StoredRole>('roles')) this.#roles.set(role.arn, role);
    for (const session of this.#documents<StoredSession>('sessions')) this.#sessions.set(session.accessKeyId, session);
  }

  roles(): StoredRole[] {
    return [...this.#roles.values()];
  }

  findRole(arn: string): StoredRole | undefined {
    return this.#roles.get(arn);
  }

  saveRole(role: StoredRole): void {
    this.#database.prepare('INSERT OR REPLACE INTO roles VALUES (?, ?)').run(role.arn, JSON.stringify(role));
    this.#roles.set(role.arn, role);
  }

  /** Forgets what was registered of a role, which makes it one like any other. */
  removeRole(arn: string): void {
    this.#database.prepare('DELETE FROM roles WHERE arn = ?').run(arn);
    this.#roles.delete(arn);
  }

  findSession(accessKeyId: string): StoredSession | undefined {
    return this.#sessions.get(accessKeyId);
  }

  saveSession(session: StoredSession): void {
    const statement = this.#database.prepare('INSERT OR REPLACE INTO sessions VALUES (?, ?)');
    statement.run(session.accessKeyId, JSON.stringify(session));
    this.#sessions.set(session.accessKeyId, session);
  }

  /** Ends the sessions of a role, or all. @returns how many. */
  expireSessions(roleArn: string | undefined, now: number): number {
    const ended = [...this.#sessions.values()].filter(
      (session) => session.expiresAt > now && (roleArn === undefined || session.roleArn === roleArn),
    );
    for (const session of ended) this.saveSession({ ...session, expiresAt: now });
    return ended.length;
  }

  #documents<Document>(table: 'roles' | 'sessions'): Document[] {
    const rows = this.#database.prepare(`SELECT document FROM ${table}`).all();
    return rows.map(({ document }) => JSON.parse(String(document)) as Document);
  }
}

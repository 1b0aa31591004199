/**
 * Who the bearers of API tokens are, and what is given to whom. What was read is kept for a few seconds, so that a request does
 * not cost a statement; a change is told to every process at once, and seen after these seconds even where it could not be told.
 */
import { timingSafeEqual } from 'node:crypto';
import type { Database } from '../../database/client.ts';
import { Access, type Grant } from '../../domain/access.ts';
import { builtInRoles, type Permission } from '../../domain/permissions.ts';
import type { Tags } from '../../domain/types.ts';

/** Milliseconds: a token that is revoked is refused everywhere within five seconds, whatever befalls a notification. */
const freshness = 3000;
const mostRemembered = 2000;

/** One that is known by an issuer's word has `issuer`; `isOnlyIssuer`: what is given without naming one is given to them too. */
export type Subject =
  | { kind: 'token'; name: string; id: string }
  | { kind: 'user'; sub: string; groups: string[]; issuer: string; isOnlyIssuer: boolean };

/** What is given, as it is on record. */
export type Binding = {
  id: string;
  role: string;
  subject_kind: string;
  subject: string;
  issuer: string | null;
  providers: string[] | null;
  tags: Tags | null;
};

type Token = { id: string; name: string; digest: string; expires_at: Date | null; last_used_at: Date | null };
type Given = { bindings: Binding[]; roles: Map<string, readonly Permission[]> };
type Kept<Value> = { value: Promise<Value>; until: number };

export class Directory {
  readonly #database: Database;
  readonly #tokens = new Map<string, Kept<Token | null>>();
  #given: Kept<Given> | null = null;
  #rights = new Map<string, { bindings: Binding[]; access: Access; of: Given }>();

  constructor(database: Database) {
    this.#database = database;
  }

  /** Reads everything afresh when it is next asked for. */
  forget(): void {
    this.#tokens.clear();
    this.#given = null;
  }

  /** The token with this digest, if it is in force. */
  async tokenOf(digest: string): Promise<Token | null> {
    const kept = this.#tokens.get(digest);
    const token = await (kept !== undefined && Date.now() < kept.until ? kept.value : this.#readToken(digest));
    if (token === null || !isSame(token.digest, digest)) return null;
    return token.expires_at !== null && token.expires_at.getTime() <= Date.now() ? null : token;
  }

  /** Whether somebody is who it was: a token that is made anew under an old name is another. */
  async isThere(subject: Subject): Promise<boolean> {
    if (subject.kind !== 'token') return true;
    const { rows } = await this.#database.pool.query('SELECT FROM api_tokens WHERE id = $1', [subject.id]);
    return rows.length > 0;
  }

  /** What is given to somebody by now, and what they may do by it. */
  async rightsOf(subject: Subject): Promise<{ bindings: Binding[]; access: Access }> {
    const of = await this.#readGiven();
    const key = JSON.stringify(subject);
    const known = this.#rights.get(key);
    if (known?.of === of) return known;
    const bindings = of.bindings.filter((binding) => isFor(binding, subject));
    const grants = bindings.map((binding): Grant => ({ ...binding, permissions: of.roles.get(binding.role) ?? [] }));
    const rights = { bindings, access: new Access(grants), of };
    if (this.#rights.size >= mostRemembered) this.#rights.clear();
    this.#rights.set(key, rights);
    return rights;
  }

  #readToken(digest: string): Promise<Token | null> {
    const isNew = !this.#tokens.has(digest);
    const value = this.#findToken(digest).then((token) => {
      // Of a token that is seen for the first time, what is given to it may be as new.
      if (token !== null && isNew) this.#given = null;
      return token;
    });
    if (this.#tokens.size >= mostRemembered) this.#tokens.clear();
    const kept = { value, until: Date.now() + freshness };
    this.#tokens.set(digest, kept);
    // What nobody has is asked for again, so that texts without end take no room; neither is a failure remembered.
    const drop = () => this.#tokens.get(digest) === kept && this.#tokens.delete(digest);
    value.then((token) => token === null && drop(), drop);
    return value;
  }

  async #findToken(digest: string): Promise<Token | null> {
    const { rows } = await this.#database.pool.query<Token & { is_stale: boolean }>({
      name: 'find_token',
      text: `SELECT id, name, digest, expires_at, last_used_at,
          coalesce(last_used_at < date_trunc('minute', now()), true) AS is_stale
        FROM api_tokens WHERE digest = $1 AND (expires_at IS NULL OR expires_at > now())`,
      values: [digest],
    });
    const [token] = rows;
    if (token === undefined) return null;
    if (token.is_stale) await this.#noteUse(token.id);
    return token;
  }

  /** To the minute, so that it costs a write a minute. */
  async #noteUse(id: string): Promise<void> {
    await this.#database.pool.query(
      "UPDATE api_tokens SET last_used_at = date_trunc('minute', now()) WHERE id = $1 AND (last_used_at IS NULL OR last_used_at < date_trunc('minute', now()))",
      [id],
    );
  }

  #readGiven(): Promise<Given> {
    if (this.#given !== null && Date.now() < this.#given.until) return this.#given.value;
    const kept = { value: this.#findGiven(), until: Date.now() + freshness };
    this.#given = kept;
    kept.value.catch(() => {
      if (this.#given === kept) this.#given = null;
    });
    return kept.value;
  }

  async #findGiven(): Promise<Given> {
    const [bindings, own] = await Promise.all([
      this.#database.prisma.accessBinding.findMany({ orderBy: { id: 'asc' } }),
      this.#database.prisma.accessRole.findMany(),
    ]);
    const roles = new Map<string, readonly Permission[]>(
      own.map(({ name, permissions }) => [name, permissions as Permission[]]),
    );
    for (const [name, permissions] of Object.entries(builtInRoles)) roles.set(name, permissions);
    return { bindings: bindings as unknown as Binding[], roles };
  }
}

function isFor({ subject_kind: kind, subject: name, issuer }: Binding, subject: Subject): boolean {
  if (subject.kind === 'token') return kind === 'token' && name === subject.name;
  if (issuer === null ? !subject.isOnlyIssuer : issuer !== subject.issuer) return false;
  return (kind === 'user' && name === subject.sub) || (kind === 'group' && subject.groups.includes(name));
}

function isSame(one: string, other: string): boolean {
  return one.length === other.length && timingSafeEqual(Buffer.from(one), Buffer.from(other));
}

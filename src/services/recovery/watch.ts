/** Notices that the database is older than the world: a backup was restored, a failover lost commits, or nobody was there. */
import type { FastifyBaseLogger } from 'fastify';
import type { ClientBase, Pool } from 'pg';
import { gapToMemory, gapToRecord, type OnRecord, type Sighting } from '../../domain/gap.ts';
import { insertOfEvents } from '../history/log.ts';

type Queryable = Pick<Pool | ClientBase, 'query'>;

/** A look at the database, and what is on record there. */
type Look = Sighting & {
  recorded: OnRecord | null;
  gap: number;
  reason: string | null;
  /** Seconds since the last sign of life of any process. */
  silence: number;
  /** The lowest gap_seen of all keys; null: there are no keys. */
  lowest: number | null;
  /** Milliseconds since the epoch. */
  now: number;
};

/** What this process last saw. `times`: how many gaps it has noticed. */
type Memory = {
  seen: Sighting;
  silence: number;
  gap: number;
  reason: string | null;
  isHeld: boolean;
  times: number;
};

type Options = {
  /** Seconds of silence of all processes that are a gap; 0: none are. */
  longestSilence: number;
  /** Whether gaps are overlooked, for tests of the tests. */
  isOff: boolean;
  log: FastifyBaseLogger;
};

/** Milliseconds from a commit until it is known to have been there. */
const soon = 200;

export class GapWatch {
  readonly #options: Options;
  readonly #listeners: (() => void)[] = [];
  #memory: Memory | null = null;
  /** What PostgreSQL told of the time, and when by performance.now(). */
  #told: { time: number; at: number } | null = null;
  #setBack = 0;
  #process = '';
  #soon: NodeJS.Timeout | null = null;
  #selectLook = '';

  constructor(options: Options) {
    this.#options = options;
  }

  /** The number of the last gap; 0: there was none. Keys that were not looked at since are held. */
  get gap(): number {
    return this.#memory?.gap ?? 0;
  }

  /** Whether some keys are held, as of the last sign of life. */
  get isHeld(): boolean {
    return this.#memory?.isHeld ?? false;
  }

  /** @param time by PostgreSQL's clock, just now. */
  tellTime(time: number): void {
    this.#setBack = Math.max(this.#setBack, this.#told === null ? 0 : this.now - time);
    this.#told = { time, at: performance.now() };
  }

  /** Milliseconds by which PostgreSQL's clock was set back between two looks, until that is dealt with. */
  get setBack(): number {
    return this.#setBack;
  }

  dealtWithSetBack(): void {
    this.#setBack = 0;
  }

  /** Seconds from the last sign of life of any process until this one looked; below 0: PostgreSQL's clock was set back. */
  get silence(): number {
    return this.#memory?.silence ?? 0;
  }

  /**
   * Milliseconds since the epoch by PostgreSQL's clock, as it was told last: times to come are on record by it, and the clock
   * of this host may be another.
   */
  get now(): number {
    return this.#told === null ? Date.now() : this.#told.time + performance.now() - this.#told.at;
  }

  /** How the last gap was noticed, while keys are held for it; else null. */
  get reason(): string | null {
    return this.isHeld ? (this.#memory?.reason ?? null) : null;
  }

  /** Calls back when a gap was noticed, here or by another process. */
  onGap(listener: () => void): void {
    this.#listeners.push(listener);
  }

  /**
   * The first look of a process. The first one ever is no gap.
   * @param process its id among the workers.
   */
  async join(client: Queryable, pool: Pool, process: string): Promise<void> {
    this.#process = process;
    this.#selectLook = selectLook(await readable(pool));
    const look = await this.#look(client);
    await client.query(firstRecord, [look.system_identifier, look.tables, look.timeline]);
    this.#memory = memoryOf(look, 0);
    const reason = look.recorded === null ? null : (gapToRecord(look, look.recorded) ?? this.#silence(look));
    if (reason !== null) await this.#mark(client, look, reason);
  }

  /**
   * Looks again. Each new connection does before anything else is done on it, so that nothing is on a database that was
   * exchanged under the process.
   */
  async check(client: Queryable): Promise<void> {
    const before = this.#memory;
    if (before === null) return;
    const look = await this.#look(client);
    // An answer that was on its way while a gap was noticed may be of the database before.
    if (this.#memory?.times !== before.times) return;
    if (look.gap > before.gap) {
      this.#memory = memoryOf(look, before.times + 1);
      return this.#tell();
    }
    // What was seen meanwhile may be newer than this: it is compared with what was known when it was asked for.
    const reason = gapToMemory(look, before.seen) ?? (look.recorded === null ? null : gapToRecord(look, look.recorded));
    if (reason !== null) return this.#mark(client, look, reason);
    this.#memory = { ...memoryOf(look, before.times), seen: latest(this.#memory.seen, look) };
  }

  /** Looks at what was just committed, so that a database without it is known to be an older one. */
  lookSoon(client: Queryable): void {
    this.#soon ??= setTimeout(() => {
      this.#soon = null;
      // The database may be away: whoever connects to it again looks first.
      this.check(client).catch(() => {});
    }, soon).unref();
  }

  #silence({ silence }: Look): string | null {
    const { longestSilence } = this.#options;
    if (longestSilence === 0 || silence <= longestSilence) return null;
    return `no process gave a sign of life for ${Math.round(silence)} seconds`;
  }

  async #look(client: Queryable): Promise<Look> {
    const { rows } = await client.query<Row>(this.#selectLook, [this.#process]);
    if (rows[0] === undefined) throw new Error('PostgreSQL tells nothing of itself');
    const look = toLook(rows[0]);
    this.tellTime(look.now);
    return look;
  }

  async #mark(client: Queryable, look: Look, reason: string): Promise<void> {
    if (this.#options.isOff) return;
    const known = Math.max(look.gap, this.gap);
    const { rows } = await client.query<{ gap: number }>(markGap, [
      known,
      reason,
      look.system_identifier,
      look.tables,
      look.timeline,
    ]);
    // Where another process was faster, its mark is seen by the next look.
    const gap = rows[0]?.gap ?? known;
    this.#memory = { ...memoryOf({ ...look, gap, reason }, (this.#memory?.times ?? 0) + 1), isHeld: true };
    if (rows[0] !== undefined) this.#options.log.warn({ reason, gap }, 'a gap was noticed: all keys are held');
    this.#tell();
  }

  #tell(): void {
    for (const listener of this.#listeners) listener();
  }
}

function memoryOf(look: Look, times: number): Memory {
  const { recorded: _recorded, gap, reason, silence, lowest, now: _now, ...seen } = look;
  return { seen, silence, gap, reason, isHeld: lowest !== null && lowest < gap, times };
}

function latest(one: Sighting, other: Sighting): Sighting {
  const position = one.position !== null && other.position !== null && one.position > other.position ? one : other;
  return {
    ...other,
    position: position.position,
    last_event: one.last_event > other.last_event ? one.last_event : other.last_event,
    beats: one.beats !== null && other.beats !== null ? Math.max(one.beats, other.beats) : other.beats,
  };
}

type Row = {
  [Name in 'system_identifier' | 'timeline' | 'position' | 'recorded_identifier' | 'recorded_timeline']: string | null;
} & {
  tables: string;
  last_event: string;
  beats: number | null;
  recorded_tables: string | null;
  gap: number;
  reason: string | null;
  silence: number;
  lowest: number | null;
  now: number;
};

function toLook(row: Row): Look {
  const { system_identifier, tables, timeline, beats, gap, reason, silence, lowest, now } = row;
  const { recorded_identifier, recorded_tables, recorded_timeline } = row;
  const recorded =
    recorded_tables === null
      ? null
      : { system_identifier: recorded_identifier, tables: recorded_tables, timeline: recorded_timeline };
  const position = row.position === null ? null : BigInt(row.position);
  const seen = { system_identifier, tables, timeline, position, last_event: BigInt(row.last_event), beats };
  return { ...seen, recorded, gap, reason, silence, lowest, now };
}

/** What PostgreSQL tells of itself: to some roles, and on some platforms, not all of it. */
const expressions = {
  system_identifier: '(SELECT system_identifier::text FROM pg_control_system())',
  timeline: 'left(pg_walfile_name(pg_current_wal_flush_lsn()), 8)',
  position: "(pg_current_wal_flush_lsn() - '0/0')::text",
};

/** Those of the expressions that can be read here. */
async function readable(pool: Pool): Promise<typeof expressions> {
  const found = { ...expressions };
  for (const name of Object.keys(expressions) as (keyof typeof expressions)[]) {
    try {
      await pool.query(`SELECT ${expressions[name]}`);
    } catch (error) {
      // A refusal of PostgreSQL has an SQLSTATE of a class other than that of connections and shutdowns.
      if (!/^(0A|42|55)/.test(String((error as { code?: unknown }).code))) throw error;
      found[name] = 'NULL::text';
    }
  }
  return found;
}

function selectLook({ system_identifier, timeline, position }: typeof expressions): string {
  return `SELECT ${system_identifier} AS system_identifier, ${timeline} AS timeline, ${position} AS position,
    (SELECT oid FROM pg_database WHERE datname = current_database()) || '/' || 'installation'::regclass::oid AS tables,
    (SELECT coalesce(max(seq), 0)::text FROM events) AS last_event,
    (SELECT beats FROM workers WHERE id = $1::uuid) AS beats,
    recorded.system_identifier AS recorded_identifier, recorded.tables AS recorded_tables,
    recorded.timeline AS recorded_timeline, coalesce(recorded.gap, 0) AS gap, recorded.reason,
    coalesce(extract(epoch FROM now() - recorded.alive_at), 0)::float8 AS silence,
    (SELECT min(gap_seen) FROM work) AS lowest, extract(epoch FROM now())::float8 * 1000 AS now
  FROM (SELECT 1) AS one LEFT JOIN installation recorded ON recorded.id = 1`;
}

const firstRecord = `
  INSERT INTO installation (id, system_identifier, tables, timeline) VALUES (1, $1, $2, $3) ON CONFLICT (id) DO UPDATE
  SET system_identifier = coalesce(installation.system_identifier, EXCLUDED.system_identifier),
    timeline = coalesce(installation.timeline, EXCLUDED.timeline)`;

/** Once, however many processes notice it: the later ones find a number above the one that they know. */
const markGap = `
  WITH marked AS (
    INSERT INTO installation (id, gap, reason, since, system_identifier, tables, timeline)
    VALUES (1, greatest($1::int + 1, extract(epoch FROM clock_timestamp() - '2026-01-01Z'::timestamptz)::int), $2::text,
      clock_timestamp(), $3, $4, $5)
    ON CONFLICT (id) DO UPDATE SET gap = greatest(installation.gap + 1, EXCLUDED.gap), reason = EXCLUDED.reason,
      since = EXCLUDED.since, system_identifier = EXCLUDED.system_identifier, tables = EXCLUDED.tables,
      timeline = EXCLUDED.timeline, alive_at = now()
    WHERE installation.gap <= $1::int
    RETURNING gap
  ), told AS (
    ${insertOfEvents('recovery.gap', { reason: '$2::text', gap: 'gap' }, 'marked')}
  )
  SELECT gap FROM marked`;

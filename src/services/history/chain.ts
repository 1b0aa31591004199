/**
 * The chain of the events: each link is the hash of its event and of the link before it. Who changes, removes or inserts an event
 * has to rewrite all links that come after; the last link of a day that was kept elsewhere tells even that.
 */
import { createHash } from 'node:crypto';
import type { Database } from '../../database/client.ts';

type Stored = { database: Database };

/** No transaction lives as long: what is older than this gets no older neighbour any more. */
const settled = "interval '60 seconds'";
const batchSize = 1000;
const beginning = 'keyward events v1';

type Row = { seq: string; day: string } & Record<string, string | number | null>;

/** What is hashed, in this order: a column that is added later is none of it. */
const columns = `seq::text, key_ref::text, provider, type, generation, actor, on_behalf_of, address, user_agent, request_id,
  data::text AS data, to_char(created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS') AS created_at,
  to_char(created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD') AS day`;

function linkOf(before: string, { day: _day, ...row }: Row): string {
  return createHash('sha256')
    .update(`${before}\n${JSON.stringify(Object.values(row))}`)
    .digest('hex');
}

/** Links the events that are a minute old. */
export async function extendChain({ database: { pool } }: Stored): Promise<void> {
  for (;;) {
    const { rows: ends } = await pool.query<{ seq: string; hash: string }>(
      'SELECT seq::text, hash FROM event_chain ORDER BY event_chain.seq DESC LIMIT 1',
    );
    let { seq: last, hash } = ends[0] ?? { seq: '0', hash: beginning };
    const { rows } = await pool.query<Row>(
      `SELECT ${columns} FROM events WHERE events.seq > $1
        AND events.seq < coalesce((SELECT min(young.seq) FROM events young
          WHERE young.seq > $1 AND young.created_at > now() - ${settled}), 9223372036854775807)
        ORDER BY events.seq LIMIT ${batchSize}`,
      [last],
    );
    if (rows.length === 0) return;
    const links = rows.map((row) => {
      hash = linkOf(hash, row);
      last = row.seq;
      return { seq: row.seq, hash };
    });
    // Where two processes are at it, one of them is late and writes nothing.
    const { rowCount } = await pool.query(
      `INSERT INTO event_chain (seq, hash) SELECT link.seq, link.hash FROM unnest($1::bigint[], $2::text[]) AS link (seq, hash)
        ON CONFLICT (seq) DO NOTHING`,
      [links.map(({ seq }) => seq), links.map((link) => link.hash)],
    );
    if ((rowCount ?? 0) < batchSize) return;
  }
}

/** The last link of a day, as it was then: what is worth keeping elsewhere. */
export type Head = { day: string; hash: string };

/** The last link there is; null: none. */
export async function findHead({ database: { pool } }: Stored): Promise<Head | null> {
  const { rows } = await pool.query<Head>(
    `SELECT to_char(created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD') AS day, hash
      FROM event_chain JOIN events USING (seq) ORDER BY seq DESC LIMIT 1`,
  );
  return rows[0] ?? null;
}

export type Verdict = {
  days: { day: string; events: number; head: string }[];
  /** The first event that is not as it was. */
  fault: { seq: string; what: 'changed' | 'removed' | 'inserted' } | null;
  /** Events that are too young to have a link. */
  unlinked: number;
  /** Links at the beginning whose events are gone. */
  gone: number;
  /** Of the heads that were kept, those that the chain does not come by: it was written anew. */
  missed: Head[];
};

/** Follows the chain from the first event that is on record. @param kept heads that were kept elsewhere. */
export async function verifyChain({ database: { pool } }: Stored, kept: readonly Head[] = []): Promise<Verdict> {
  const met = new Set<string>();
  const { rows: first } = await pool.query<{ seq: string | null; gone: number; before: string | null }>(
    `SELECT oldest.seq::text, (SELECT count(*)::int FROM event_chain WHERE seq < oldest.seq) AS gone,
        (SELECT hash FROM event_chain WHERE seq < oldest.seq ORDER BY seq DESC LIMIT 1) AS before
      FROM (SELECT min(seq) AS seq FROM events) AS oldest`,
  );
  const { gone = 0, before = null, seq } = first[0] ?? { seq: null };
  const days = new Map<string, { day: string; events: number; head: string }>();
  // What retention took of the events is told by their links alone.
  const { rows: old } = await pool.query<{ hash: string }>(
    'SELECT hash FROM event_chain WHERE seq < $1 AND hash = ANY($2)',
    [seq, kept.map((head) => head.hash)],
  );
  const bygone = new Set(old.map((link) => link.hash));
  let [hash, last] = [before ?? beginning, seq === null ? '0' : String(BigInt(seq) - 1n)];
  const verdict = (fault: Verdict['fault'], unlinked: number): Verdict => ({
    days: [...days.values()],
    fault,
    unlinked,
    gone,
    missed: kept.filter(({ day, hash: link }) => !met.has(`${day} ${link}`) && !bygone.has(link)),
  });
  for (;;) {
    const { rows: links } = await pool.query<{ seq: string; hash: string }>(
      `SELECT seq::text, hash FROM event_chain WHERE event_chain.seq > $1 ORDER BY event_chain.seq LIMIT ${batchSize}`,
      [last],
    );
    const end = links.at(-1)?.seq;
    if (end === undefined) break;
    const { rows } = await pool.query<Row>(
      `SELECT ${columns} FROM events WHERE events.seq > $1 AND events.seq <= $2 ORDER BY events.seq`,
      [last, end],
    );
    const linked = new Map(links.map((link) => [link.seq, link.hash]));
    const there = new Set(rows.map((row) => row.seq));
    const missing = links.find((link) => !there.has(link.seq));
    for (const row of rows) {
      if (missing !== undefined && BigInt(missing.seq) < BigInt(row.seq)) break;
      if (!linked.has(row.seq)) return verdict({ seq: row.seq, what: 'inserted' }, 0);
      hash = linkOf(hash, row);
      if (linked.get(row.seq) !== hash) return verdict({ seq: row.seq, what: 'changed' }, 0);
      met.add(`${row.day} ${hash}`);
      days.set(row.day, { day: row.day, events: (days.get(row.day)?.events ?? 0) + 1, head: hash });
    }
    if (missing !== undefined) return verdict({ seq: missing.seq, what: 'removed' }, 0);
    last = end;
  }
  const { rows: young } = await pool.query<{ count: number }>('SELECT count(*)::int FROM events WHERE seq > $1', [
    last,
  ]);
  return verdict(null, young[0]?.count ?? 0);
}

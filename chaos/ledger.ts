/** What the harness was promised, and what it knows of keys that are not Keyward's. */
import type { KMSClient } from '@aws-sdk/client-kms';
import type { Client } from 'pg';
import type { ForeignKeys } from './invariants.ts';
import { heldKey } from './truth.ts';
import type { Ward } from './wards.ts';

/** A change that the service has accepted: 200, 201 or 202. */
export type Accepted = { id: string; generation: number; origin: string; description: string | null };

export class Ledger {
  readonly accepted: Accepted[] = [];
  /** Keys that Keyward may have or not: imported with an answer that was lost, or let go of. */
  readonly outsiders: ForeignKeys = new Map();
  /** Keys that somebody else made away with. */
  readonly lost = new Set<string>();
  /** The keys of this run that somebody else changes in KMS, by their records. */
  readonly wards = new Map<string, Ward>();
  /** The records of the wards of all runs. */
  readonly allWards = new Set<string>();
  /** How many rotations of each key the service has accepted. */
  readonly rotations = new Map<string, number>();
  #lastReleaseSeen = '0';

  /**
   * The outsiders that no record names or had before a replacement: whose keys they are, nobody asked Keyward to change them.
   */
  async foreignKeys(database: Client): Promise<ForeignKeys> {
    const { rows } = await database.query<{ key_id: string }>(
      'SELECT key_id FROM keys WHERE key_id IS NOT NULL UNION SELECT key_id FROM former_keys',
    );
    const managed = new Set(rows.map(({ key_id }) => key_id));
    return new Map([...this.outsiders].filter(([keyId]) => !managed.has(keyId)));
  }

  /** Takes note of keys that were released since it was last asked: as they are now, they have to stay. */
  async noteReleased(kms: KMSClient, database: Client): Promise<void> {
    const { rows } = await database.query<{ seq: string; arn: string }>(
      "SELECT seq, data->>'arn' AS arn FROM events WHERE type = 'key.released' AND data->>'arn' IS NOT NULL AND seq > $1 ORDER BY seq",
      [this.#lastReleaseSeen],
    );
    for (const { seq, arn } of rows) {
      this.#lastReleaseSeen = seq;
      const keyId = arn.split('/')[1] ?? '';
      if (this.lost.has(keyId)) continue;
      const held = await heldKey(kms, keyId);
      // KMS lets nobody untag a key whose deletion is scheduled.
      const mayKeepTag = held.key_state === 'PendingDeletion';
      if (mayKeepTag || !Object.hasOwn(held.tags, 'keyward:id')) this.outsiders.set(keyId, held);
    }
  }

  /** Accepted changes that no revision tells of. */
  async missing(database: Client, since: number): Promise<string[]> {
    const found: string[] = [];
    for (const { id, generation, origin, description } of this.accepted.slice(since)) {
      const { rows } = await database.query<{ origin: string; description: string }>(
        "SELECT origin, desired->>'description' AS description FROM revisions WHERE key_ref = $1 AND generation = $2",
        [id, generation],
      );
      const [revision] = rows;
      if (revision === undefined || (description !== null && revision.description !== description)) {
        found.push(`missing: ${origin} of ${id}, accepted as generation ${generation}, is not in the revisions`);
      }
    }
    return [...found, ...(await this.#missingRotations(database))];
  }

  /** Accepted rotations that nothing tells of, and those without an end. */
  async #missingRotations(database: Client): Promise<string[]> {
    const { rows } = await database.query<{ key_ref: string; asked: number; pending: number }>(
      `SELECT r.key_ref, count(*)::int AS asked,
         count(*) FILTER (WHERE r.outcome = 'pending' AND k.state <> 'failed')::int AS pending
       FROM on_demand_rotations r LEFT JOIN keys k ON k.id = r.key_ref GROUP BY r.key_ref`,
    );
    const asked = new Map(rows.map((row) => [row.key_ref, row.asked]));
    return [
      ...rows
        .filter(({ pending }) => pending > 0)
        .map(({ key_ref, pending }) => `missing: ${pending} rotations of ${key_ref} have no end`),
      ...[...this.rotations]
        .filter(([id, accepted]) => accepted > (asked.get(id) ?? 0))
        .map(([id]) => `missing: a rotation of ${id} was accepted and is not on record`),
    ];
  }
}

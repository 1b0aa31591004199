/** What the harness was promised, and what it knows of keys that are not Keyward's. */
import type { KMSClient } from '@aws-sdk/client-kms';
import type { Client } from 'pg';
import { allKeyIds, metadata, tags } from '../test/support/kms-truth.ts';
import type { Grant } from './grants.ts';
import type { ForeignKeys } from './invariants.ts';
import type { Lab } from './lab.ts';
import { arnIn, keyIdOf, regionOf } from './places.ts';
import { heldKey } from './truth.ts';
import type { Ward } from './wards.ts';

/** A change that the service has accepted: 200, 201 or 202. */
export type Accepted = { id: string; generation: number; origin: string; description: string | null; asked: Date };

type Recovery = { differing: ReadonlyMap<string, string>; decided: Date | null; lastEvent: string };

const noRecovery = (): Recovery => ({ differing: new Map(), decided: null, lastEvent: '0' });

export class Ledger {
  readonly accepted: Accepted[] = [];
  /** Keys that Keyward may have or not, by their ARNs: imported with an answer that was lost, or let go of. */
  readonly outsiders: ForeignKeys = new Map();
  /** Aliases that somebody else has moved or deleted, and that Keyward has not said since to be where they are to be. */
  readonly movedAliases = new Set<string>();
  /** Of each alias that somebody else has moved, or may have, the key that it points at since. */
  readonly pointedOutside: string[] = [];
  /** What somebody else did, or may have done, in this run: replicas by their ARNs, and ids of keys whose primary Region changed. */
  readonly family = { replicated: [] as string[], promoted: [] as string[] };
  /** The grants of all runs. */
  readonly grants: Grant[] = [];
  /** Keys that somebody else made away with. */
  readonly lost = new Set<string>();
  /** The keys of this run that somebody else changes in KMS, by their records. */
  readonly wards = new Map<string, Ward>();
  /** The wards of all runs: what somebody made of one may be mended or adopted long after. */
  readonly allWards = new Map<string, Ward>();
  /** The rotations that the service has accepted. */
  readonly rotations: { id: string; asked: Date }[] = [];
  /** Records whose keys may have been rotated in a time of which the database has lost the memory. */
  readonly rotatedUnseen = new Set<string>();
  /** The time of this run of which the database has lost the memory: when the copy was taken, and put back. */
  #lostTime: { from: Date; until: Date } | null = null;
  /** Keys that KMS does not hold as a restored database has them, their records, and when somebody decided on them. */
  recovery = noRecovery();
  /** Whom requests named, and when. */
  readonly asked: { id: string; asked: Date }[] = [];
  #lastReleaseSeen = '0';

  /**
   * The outsiders that no record names or had before a replacement: whose keys they are, nobody asked Keyward to change them.
   */
  async foreignKeys(database: Client): Promise<ForeignKeys> {
    const { rows } = await database.query<{ arn: string }>(
      'SELECT arn FROM keys WHERE arn IS NOT NULL UNION SELECT arn FROM former_keys',
    );
    const managed = new Set(rows.map(({ arn }) => arn));
    return new Map([...this.outsiders].filter(([arn]) => !managed.has(arn)));
  }

  /** Takes note of keys that were released since it was last asked: as they are now, they have to stay. */
  async noteReleased(kmsIn: Lab['kmsIn'], database: Client): Promise<void> {
    const { rows } = await database.query<{ seq: string; arn: string }>(
      "SELECT seq, data->>'arn' AS arn FROM events WHERE type = 'key.released' AND data->>'arn' IS NOT NULL AND seq > $1 ORDER BY seq",
      [this.#lastReleaseSeen],
    );
    for (const { seq, arn } of rows) {
      this.#lastReleaseSeen = seq;
      const keyId = keyIdOf(arn);
      if (this.lost.has(keyId)) continue;
      const held = await heldKey(kmsIn(regionOf(arn)), keyId);
      // KMS lets nobody untag a key whose deletion is scheduled.
      const mayKeepTag = /^Pending(Replica)?Deletion$/.test(held.key_state);
      if (mayKeepTag || !Object.hasOwn(held.tags, 'keyward:id')) this.outsiders.set(arn, held);
    }
  }

  /** Replicas that somebody else has made, and that no record has had. */
  async noteReplicated(kmsIn: Lab['kmsIn']): Promise<void> {
    for (const arn of this.family.replicated.filter((each) => !this.outsiders.has(each))) {
      const held = await heldKey(kmsIn(regionOf(arn)), keyIdOf(arn)).catch(() => null);
      if (held !== null && !Object.hasOwn(held.tags, 'keyward:id')) this.outsiders.set(arn, held);
    }
  }

  noteWard(ward: Ward): void {
    this.wards.set(ward.id, ward);
    this.allWards.set(ward.id, ward);
  }

  begin(): void {
    this.wards.clear();
    this.#lostTime = null;
    this.recovery = noRecovery();
    this.asked.length = 0;
    this.family.replicated.length = 0;
    this.family.promoted.length = 0;
  }

  /** PostgreSQL is as it was at the time of the copy. What was accepted since is lost, and nobody's fault. */
  async noteRestore(database: Client, copied: Date, differing: ReadonlyMap<string, string>): Promise<void> {
    this.#lostTime = { from: copied, until: new Date() };
    const { rows } = await database.query<{ id: string }>('SELECT id FROM keys');
    for (const { id } of rows) this.rotatedUnseen.add(id);
    const last = await database.query<{ seq: string }>('SELECT coalesce(max(seq), 0)::text AS seq FROM events');
    this.recovery = { differing, decided: null, lastEvent: last.rows[0]?.seq ?? '0' };
  }

  /** Records that requests have named since PostgreSQL was put back. */
  askedSinceRestore(): string[] {
    const since = this.#lostTime?.until ?? new Date(0);
    return this.asked.filter(({ asked }) => asked >= since).map(({ id }) => id);
  }

  #isForgotten({ asked }: { asked: Date }): boolean {
    // A request that was under way when the copy was taken may be in it or not.
    const margin = 10_000;
    return (
      this.#lostTime !== null &&
      asked > new Date(this.#lostTime.from.getTime() - margin) &&
      asked < this.#lostTime.until
    );
  }

  /**
   * Keys made in the time that the database has lost, for records that it does not know, or in the place of keys that it takes
   * for the present ones. No record can name them: they are to stay as they are. So are those that were imported in that time.
   */
  async noteOrphans(kms: KMSClient, database: Client): Promise<void> {
    if (this.#lostTime === null) return;
    const { from, until } = this.#lostTime;
    const { rows } = await database.query<{ id: string; arns: string[] }>(
      `SELECT k.id, array_remove(array_agg(f.arn) || k.arn, NULL) AS arns FROM keys k
       LEFT JOIN former_keys f ON f.key_ref = k.id GROUP BY k.id, k.arn`,
    );
    const keysOf = new Map(rows.map(({ id, arns }) => [id, arns]));
    const named = new Set(rows.flatMap(({ arns }) => arns));
    const region = await kms.config.region();
    const inKms = (await allKeyIds(kms)).map((keyId) => arnIn(region, keyId));
    const madeAt = async (arn: string) => (await metadata(kms, keyIdOf(arn))).CreationDate ?? new Date(0);
    for (const arn of inKms.filter((each) => !named.has(each) && !this.outsiders.has(each))) {
      const made = await madeAt(arn);
      if (made < from || made > until) continue;
      const others = keysOf.get((await tags(kms, keyIdOf(arn)))['keyward:id'] ?? '');
      const ages = await Promise.all((others ?? []).filter((other) => inKms.includes(other)).map(madeAt));
      const isReplacement = ages.some((age) => age < from);
      if (others === undefined || isReplacement) this.outsiders.set(arn, await heldKey(kms, keyIdOf(arn)));
    }
    for (const arn of inKms.filter((each) => !named.has(each) && this.outsiders.has(each))) {
      const owner = (await tags(kms, keyIdOf(arn)))['keyward:id'];
      if (owner !== undefined && !keysOf.has(owner)) this.outsiders.set(arn, await heldKey(kms, keyIdOf(arn)));
    }
  }

  /** Accepted changes that no revision tells of. */
  async missing(database: Client, since: number): Promise<string[]> {
    const found: string[] = [];
    for (const { id, generation, origin, description } of this.accepted
      .slice(since)
      .filter((change) => !this.#isForgotten(change))) {
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
       FROM errands r LEFT JOIN keys k ON k.id = r.key_ref WHERE r.operation = 'RotateKeyOnDemand' GROUP BY r.key_ref`,
    );
    const asked = new Map(rows.map((row) => [row.key_ref, row.asked]));
    return [
      ...rows
        .filter(({ pending }) => pending > 0)
        .map(({ key_ref, pending }) => `missing: ${pending} rotations of ${key_ref} have no end`),
      ...[
        ...Map.groupBy(
          this.rotations.filter(({ id }) => !this.rotatedUnseen.has(id)),
          ({ id }) => id,
        ),
      ]
        .filter(([id, accepted]) => accepted.length > (asked.get(id) ?? 0))
        .map(([id]) => `missing: a rotation of ${id} was accepted and is not on record`),
    ];
  }
}

/** A number of keys that are looked at together: their leases, and the record of those that are as they should be. */
import { randomUUID } from 'node:crypto';
import { isDatabaseAway, type KeyRow } from '../../database/client.ts';
import type { RecentWrite } from '../../domain/recent-writes.ts';
import type { ObservedKey } from '../../domain/types.ts';
import { Urgency } from '../../kms/urgency.ts';
import type { Services } from '../context.ts';
import { takePlainKeys } from './due.ts';
import { StoodStill } from './lease.ts';

/** How often the leases are renewed in the time for which they hold. */
const renewals = 3;
/** Seconds after which a key is due again that was passed on to a sync of its own, should that never come. */
const passedOnFor = 60;

/** A key in which nothing differs. `observed`: null where it reads as it did before. */
export type Unchanged = { row: KeyRow; observed: ObservedKey | null; dueAt: Date };

type Taken = { provider: string; token: string; gap: number };

/** What is recorded of one, by the generation, the request and the tags that its row had when it was taken. */
type Entry = {
  id: string;
  generation: number;
  requested: number;
  tags: number;
  observed: ObservedKey | null;
  due_at: Date;
};

export class RefreshBatch {
  readonly provider: string;
  /** The number of the last gap when the keys were taken: those with a lower gap_seen are held. */
  readonly gap: number;
  readonly rows: ReadonlyMap<string, KeyRow>;
  /** All that is done with the batch: it tells when that last got on. */
  readonly work = new Urgency(false);
  readonly #givenUp = Promise.withResolvers<never>();
  readonly #services: Services;
  readonly #token: string;
  readonly #held: Set<string>;
  readonly #timer: NodeJS.Timeout;

  private constructor(services: Services, { provider, token, gap }: Taken, rows: KeyRow[]) {
    this.#services = services;
    this.provider = provider;
    this.gap = gap;
    this.#token = token;
    this.rows = new Map(rows.map((row) => [row.id, row]));
    this.#held = new Set(this.rows.keys());
    this.#givenUp.promise.catch(() => {});
    this.#timer = setInterval(() => this.#renew().catch(() => {}), services.times.lease / renewals);
    this.#timer.unref();
  }

  /** Takes the leases of plain keys that are due. @returns null when there are none. */
  static async take(services: Services, provider: string, count: number): Promise<RefreshBatch | null> {
    const token = randomUUID();
    const values = [provider, count, token, services.times.lease];
    const { gap } = services.watch;
    const { rows } = await services.database.pool.query<KeyRow>({ ...takePlainKeys(services.watch), values });
    if (rows.length === 0) return null;
    await services.failurePoints.pass('lease-taken');
    return new RefreshBatch(services, { provider, token, gap }, rows);
  }

  /** Whether the key has not been given up. */
  holds(keyId: string): boolean {
    return this.#held.has(keyId);
  }

  /** The keys' writes of so many last milliseconds, oldest first. */
  async recentWrites(settle: number): Promise<Map<string, RecentWrite[]>> {
    const { rows } = await this.#services.database.pool.query<RecentWrite & { key_ref: string }>({
      name: 'recent_writes',
      text: `SELECT key_ref, operation, parameters, before, finished_at FROM kms_writes
        WHERE key_ref = ANY($1::uuid[]) AND outcome = 'done'
          AND finished_at > clock_timestamp() - $2 * interval '1 millisecond'
        ORDER BY finished_at, id`,
      values: [[...this.rows.keys()], settle],
    });
    return Map.groupBy(rows, ({ key_ref }) => key_ref);
  }

  /**
   * Records those of the keys that nobody has changed meanwhile, and gives their leases back. What a sync of the key
   * by itself would record, in one statement for all.
   */
  async record(unchanged: Unchanged[]): Promise<void> {
    const held = unchanged.filter(({ row }) => this.#held.has(row.id));
    if (held.length === 0) return;
    const entries = held.map(({ row, observed, dueAt }) => ({
      id: row.id,
      generation: row.generation,
      requested: row.requested_observation,
      tags: row.tags_version,
      observed,
      due_at: dueAt,
    }));
    try {
      await this.#recordAll(entries);
    } catch (error) {
      if (isDatabaseAway(error)) throw error;
      // Something that can't be stored keeps back the record of its own key alone.
      for (const entry of entries) await this.#recordAll([entry]).catch((fault) => this.#tell(entry.id, fault));
    }
    await this.#services.failurePoints.pass('sync-recorded');
  }

  #tell(key: string, error: unknown): void {
    this.#services.log.warn({ err: error, key }, 'could not record what was seen of a key');
  }

  async #recordAll(entries: Entry[]): Promise<void> {
    const now = new Date(this.#services.now());
    const { rows } = await this.#services.database.pool.query<{ id: string }>({
      name: 'record_unchanged',
      // In the order of their ids, as a change of a provider's tags locks them: neither waits for the other in a circle.
      text: `WITH held AS MATERIALIZED (
          SELECT id FROM keys WHERE id = ANY($4::uuid[]) ORDER BY id FOR NO KEY UPDATE
        )
        UPDATE keys SET
          observed = coalesce(entry.observed, keys.observed), key_state = coalesce(entry.observed ->> 'key_state', key_state),
          last_observed_at = $3, due_at = entry.due_at, status_version = status_version + 1,
          gap_seen = greatest(gap_seen, $5), gap_checked = greatest(gap_checked, $5), gap_found = NULL,
          last_synced_at = CASE drift_policy WHEN 'enforce' THEN $3 ELSE last_synced_at END,
          lease_token = NULL, lease_until = NULL
        FROM json_to_recordset($1::json) AS entry (
          id uuid, generation int, requested int, tags int, observed json, due_at timestamptz)
        JOIN held ON held.id = entry.id
        WHERE keys.id = entry.id AND keys.lease_token = $2::uuid AND keys.generation = entry.generation
          AND keys.requested_observation = entry.requested AND keys.tags_version = entry.tags
        RETURNING keys.id`,
      values: [JSON.stringify(entries), this.#token, now, entries.map(({ id }) => id), this.gap],
    });
    for (const { id } of rows) this.#held.delete(id);
  }

  /**
   * Gives the leases of all keys back that are still held.
   * @param passedOn whether each gets a sync of its own: it is due again in a while in case that never comes.
   * @returns for each key, whether somebody asked something of it meanwhile.
   */
  async giveBack(passedOn: boolean): Promise<{ id: string; isAskedFor: boolean }[]> {
    return this.#release([...this.#held], passedOn);
  }

  /** Gives one key up, because somebody waits for it. @returns whether it was held. */
  async giveUp(keyId: string): Promise<boolean> {
    return this.#held.has(keyId) && (await this.#release([keyId], false)).length > 0;
  }

  /** Never fulfilled. Rejected when the batch has stood still for so long that its keys are left to others. */
  get standstill(): Promise<never> {
    return this.#givenUp.promise;
  }

  /** Ends the renewal. */
  stop(): void {
    clearInterval(this.#timer);
  }

  async #release(keyIds: string[], passedOn: boolean): Promise<{ id: string; isAskedFor: boolean }[]> {
    for (const id of keyIds) this.#held.delete(id);
    if (keyIds.length === 0) return [];
    const entries = keyIds.map((id) => {
      const row = this.rows.get(id);
      return { id, generation: row?.generation, requested: row?.requested_observation, tags: row?.tags_version };
    });
    const { rows } = await this.#services.database.pool.query<{ id: string; isAskedFor: boolean }>(
      `UPDATE keys SET lease_token = NULL, lease_until = NULL,
        due_at = CASE WHEN $3 AND keys.generation = entry.generation AND requested_observation = entry.requested
            AND tags_version = entry.tags
          THEN now() + ${passedOnFor} * interval '1 second' ELSE due_at END
      FROM json_to_recordset($1::json) AS entry (id uuid, generation int, requested int, tags int)
      WHERE keys.id = entry.id AND keys.lease_token = $2::uuid
      RETURNING keys.id, (keys.generation <> entry.generation OR requested_observation <> entry.requested) AS "isAskedFor"`,
      [JSON.stringify(entries), this.#token, passedOn],
    );
    return rows;
  }

  async #renew(): Promise<void> {
    if (this.work.standstill > this.#services.times.standstill) {
      this.stop();
      this.#givenUp.reject(new StoodStill([...this.#held].join(', ')));
      return;
    }
    await this.#services.database.pool.query(
      `UPDATE keys SET lease_until = now() + $3 * interval '1 millisecond' WHERE id = ANY($1::uuid[]) AND lease_token = $2::uuid`,
      [[...this.#held], this.#token, this.#services.times.lease],
    );
  }
}

/** A number of keys that are looked at together: their leases, and the record of those that are as they should be. */
import { randomUUID } from 'node:crypto';
import { isDatabaseAway } from '../../database/client.ts';
import type { RecentWrite } from '../../domain/recent-writes.ts';
import type { ObservedKey } from '../../domain/types.ts';
import { Urgency } from '../../kms/urgency.ts';
import type { Services } from '../context.ts';
import { type Entry, giveLeasesBack, recordUnchanged, renewLeases, takePlainRows } from '../rows/batch.ts';
import type { KeyRow } from '../rows/key-row.ts';
import { StoodStill } from './lease.ts';

/** How often the leases are renewed in the time for which they hold. */
const renewals = 3;

/** A key in which nothing differs. `observed`: null where it reads as it did before. */
export type Unchanged = { row: KeyRow; observed: ObservedKey | null; dueAt: Date };

type Taken = { provider: string; token: string; gap: number };

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
    const { gap } = services.watch;
    const asked = { provider, count, token, milliseconds: services.times.lease };
    const rows = await takePlainRows(services.database.pool, asked, services.watch);
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
      asked: row.asked,
      observed,
      due_at: dueAt,
      enforces: row.drift_policy === 'enforce',
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
    const look = { at: new Date(this.#services.now()), gap: this.gap };
    const recorded = await recordUnchanged(this.#services.database.pool, this.#token, entries, look);
    for (const id of recorded) this.#held.delete(id);
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
    const keys = keyIds.flatMap((id) => this.rows.get(id) ?? []);
    return giveLeasesBack(this.#services.database.pool, this.#token, keys, { passedOn });
  }

  async #renew(): Promise<void> {
    if (this.work.standstill > this.#services.times.standstill) {
      this.stop();
      this.#givenUp.reject(new StoodStill([...this.#held].join(', ')));
      return;
    }
    const leased = { keyIds: [...this.#held], token: this.#token };
    await renewLeases(this.#services.database.pool, leased, this.#services.times.lease);
  }
}

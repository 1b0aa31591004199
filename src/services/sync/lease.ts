/**
 * One writer a key (I2): whoever syncs a key holds the lease in its row. Every write of results names the lease's
 * token, so that a worker that was paused and replaced changes nothing any more.
 */
import { randomUUID } from 'node:crypto';
import type { Database, Transaction } from '../../database/client.ts';
import type { ObservedKey } from '../../domain/types.ts';
import { currentUrgency } from '../../kms/urgency.ts';
import type { Services } from '../context.ts';
import type { KeyRow } from '../rows/key-row.ts';
import { renewLease, takeLease } from '../rows/lease.ts';
import type { Columns } from '../rows/write.ts';
import type { Opened } from './journal-entry.ts';
import { startStopwatch } from './stopwatch.ts';

/** How often a lease is renewed in the time for which it holds. */
const renewals = 3;

/** Thrown where the lease is found to be another's, or too old to be sure. What was being done must stop at once. */
export class LeaseLost extends Error {
  constructor(keyId: string) {
    super(`The lease on key ${keyId} was lost`);
  }
}

/** Thrown where a sync has not got on for so long that nobody knows what it waits for. */
export class StoodStill extends LeaseLost {}

/** The transaction that ends a sync: the row, which it has taken, and the columns that it is about to write. */
export type SyncEnd = { held: KeyRow; columns: Columns };

/** @param end where it is that transaction. */
export type RecordOutcome = (transaction: Transaction, end?: SyncEnd) => Promise<boolean>;

export type LeaseTimes = {
  /** Milliseconds for which it holds without a renewal. */
  lease: number;
  /** Milliseconds without progress (a call to KMS that ends) after which it is renewed no more. */
  standstill: number;
};

type Taken = Pick<Lease, 'keyId' | 'token' | 'gap' | 'dueBefore'>;

export class Lease {
  readonly token: string;
  readonly keyId: string;
  /** The number of the last gap when the lease was taken: whether the key is held goes by it. */
  readonly gap: number;
  /** When the key was due before the lease was taken. */
  readonly dueBefore: Date | null;
  /**
   * Puts on record what became of a plan's last write: the transaction that ends the sync does it, or one of its own before
   * anything else is sent. Each tells whether the row is as this work left it.
   */
  readonly unrecorded: RecordOutcome[] = [];
  readonly #database: Pick<Database, 'prisma'>;
  readonly #times: LeaseTimes;
  readonly #work = currentUrgency();
  readonly #givenUp = Promise.withResolvers<never>();
  #sinceRenewal: () => number;
  #isTaken = false;
  readonly #timer: NodeJS.Timeout;

  /** For a lease that is in the key's row already. @param sinceTaken milliseconds since before the statement that took it. */
  constructor(database: Pick<Database, 'prisma'>, taken: Taken, times: LeaseTimes, sinceTaken: () => number) {
    this.#database = database;
    this.keyId = taken.keyId;
    this.token = taken.token;
    this.gap = taken.gap;
    this.dueBefore = taken.dueBefore;
    this.#times = times;
    this.#sinceRenewal = sinceTaken;
    this.#work.gotOn();
    this.#givenUp.promise.catch(() => {});
    this.#timer = setInterval(() => this.#renew().catch(() => {}), times.lease / renewals);
    this.#timer.unref();
  }

  /**
   * Takes the lease of a key, unless another holds it. The key is due when the lease is over, so that it is taken over then:
   * it may have been woken long before its time.
   * @param onlyDue whether a key that is not due is left alone: whoever told of it may not have known of its last sync.
   * @returns null when it is held, or there is no such key. `isTakeover`: its last holder fell silent.
   */
  static async take(
    { database, times, watch }: Pick<Services, 'database' | 'times' | 'watch'>,
    keyId: string,
    { onlyDue }: { onlyDue: boolean },
  ): Promise<{ lease: Lease; row: KeyRow; isTakeover: boolean } | null> {
    const token = randomUUID();
    // Started before the statement is sent: the lease ends here no later than it ends in the row.
    const sinceTaken = startStopwatch();
    const taken = await takeLease(database, { id: keyId, token, milliseconds: times.lease }, onlyDue ? watch : null);
    if (taken === null) return null;
    const { row, isTakeover, dueBefore, gap } = taken;
    return { lease: new Lease(database, { keyId, token, gap, dueBefore }, times, sinceTaken), row, isTakeover };
  }

  /** What a statement must match to be this lease's. */
  get fence() {
    return { id: this.keyId, lease_token: this.token };
  }

  /** Whether no other can hold the lease by now. Asked at the last moment before every write to KMS. */
  get isHeld(): boolean {
    return !this.#isTaken && this.#sinceRenewal() < this.#times.lease;
  }

  /** Never fulfilled. Rejected when the work has stood still for so long that its key is left to others. */
  get standstill(): Promise<never> {
    return this.#givenUp.promise;
  }

  /** Ends the renewal. The row's lease is given back by the statement that records the result. */
  stop(): void {
    clearInterval(this.#timer);
  }

  async #renew(): Promise<void> {
    if (this.#work.standstill > this.#times.standstill) {
      this.stop();
      this.#givenUp.reject(new StoodStill(this.keyId));
      return;
    }
    const sinceRenewal = startStopwatch();
    const lease = { id: this.keyId, token: this.token, milliseconds: this.#times.lease };
    if (await renewLease(this.#database, lease)) this.#sinceRenewal = sinceRenewal;
    else this.#isTaken = true;
  }
}

/**
 * One key, as it was when its sync began, and the right to record results for it. `seen`: what was just read of it. `opened`: the
 * journal of its plan, which the intent was recorded with.
 */
export type Work = { row: KeyRow; lease: Lease; seen?: ObservedKey; opened?: Opened };

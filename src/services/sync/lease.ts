/**
 * One writer a key (I2): whoever syncs a key holds the lease in its row. Every write of results names the lease's
 * token, so that a worker that was paused and replaced changes nothing any more.
 */
import { randomUUID } from 'node:crypto';
import { type KeyRow, Prisma, type PrismaClient } from '../../database/client.ts';
import { keyColumns } from '../../database/columns.ts';
import type { ObservedKey } from '../../domain/types.ts';
import { currentUrgency } from '../../kms/urgency.ts';
import type { Services } from '../context.ts';
import { isDue } from './due.ts';
import type { Opened } from './journal-entry.ts';
import { startStopwatch } from './stopwatch.ts';

const columns = Prisma.raw(keyColumns('keys'));

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
  readonly #prisma: PrismaClient;
  readonly #times: LeaseTimes;
  readonly #work = currentUrgency();
  readonly #givenUp = Promise.withResolvers<never>();
  #sinceRenewal: () => number;
  #isTaken = false;
  readonly #timer: NodeJS.Timeout;

  /** For a lease that is in the key's row already. @param sinceTaken milliseconds since before the statement that took it. */
  constructor(prisma: PrismaClient, taken: Taken, times: LeaseTimes, sinceTaken: () => number) {
    this.#prisma = prisma;
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
    { database: { prisma }, times, watch }: Pick<Services, 'database' | 'times' | 'watch'>,
    keyId: string,
    { onlyDue }: { onlyDue: boolean },
  ): Promise<{ lease: Lease; row: KeyRow; isTakeover: boolean } | null> {
    const token = randomUUID();
    const isToBeTaken = Prisma.raw(onlyDue ? isDue(watch) : 'true');
    const { lease: time } = times;
    // Started before the statement is sent: the lease ends here no later than it ends in the row, whose times are
    // PostgreSQL's, so that the clocks of the workers need not agree.
    const sinceTaken = startStopwatch();
    const [taken] = await prisma.$queryRaw<
      (KeyRow & { is_takeover: boolean; due_before: Date | null; last_gap: number })[]
    >`
      UPDATE keys
      SET lease_token = ${token}::uuid, lease_until = now() + ${time} * interval '1 millisecond',
        due_at = least(keys.due_at, now() + ${time} * interval '1 millisecond')
      FROM (SELECT id, lease_token, due_at FROM keys WHERE id = ${keyId}::uuid AND ${isToBeTaken} FOR UPDATE) AS before
      WHERE keys.id = before.id AND (keys.lease_until IS NULL OR keys.lease_until < now())
      RETURNING ${columns}, before.lease_token IS NOT NULL AS is_takeover, before.due_at AS due_before,
        coalesce((SELECT gap FROM installation), 0) AS last_gap`;
    if (taken === undefined) return null;
    const { is_takeover: isTakeover, due_before: dueBefore, last_gap: gap, ...row } = taken;
    return { lease: new Lease(prisma, { keyId, token, gap, dueBefore }, times, sinceTaken), row, isTakeover };
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
    const count = await this.#prisma.$executeRaw`
      UPDATE keys SET lease_until = now() + ${this.#times.lease} * interval '1 millisecond'
      WHERE id = ${this.keyId}::uuid AND lease_token = ${this.token}::uuid`;
    if (count === 0) this.#isTaken = true;
    else this.#sinceRenewal = sinceRenewal;
  }
}

/** The columns of a key that nobody syncs. */
export const released = { lease_token: null, lease_until: null };

/**
 * One key, as it was when its sync began, and the right to record results for it. `seen`: what was just read of it. `opened`: the
 * journal of its plan, which the intent was recorded with.
 */
export type Work = { row: KeyRow; lease: Lease; seen?: ObservedKey; opened?: Opened };

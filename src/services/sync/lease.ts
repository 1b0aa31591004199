/**
 * One writer a key (I2): whoever syncs a key holds the lease in its row. Every write of results names the lease's
 * token, so that a worker that was paused and replaced changes nothing any more.
 */
import { randomUUID } from 'node:crypto';
import type { KeyRow, PrismaClient } from '../../database/client.ts';

/** Milliseconds for which a lease holds without being renewed. */
const leaseTime = 15_000;
const renewalInterval = 5000;

/** Thrown where the lease is found to be another's, or too old to be sure. What was being done must stop at once. */
export class LeaseLost extends Error {
  constructor(keyId: string) {
    super(`The lease on key ${keyId} was lost`);
  }
}

export class Lease {
  readonly token: string;
  readonly keyId: string;
  readonly #prisma: PrismaClient;
  #validUntil: number;
  #timer: NodeJS.Timeout;

  private constructor(prisma: PrismaClient, keyId: string, token: string, takenAt: number) {
    this.#prisma = prisma;
    this.keyId = keyId;
    this.token = token;
    this.#validUntil = takenAt + leaseTime;
    this.#timer = setInterval(() => this.#renew().catch(() => {}), renewalInterval);
    this.#timer.unref();
  }

  /** Takes the lease of a key, unless another holds it. @returns null when it is held, or there is no such key. */
  static async take(prisma: PrismaClient, keyId: string): Promise<{ lease: Lease; row: KeyRow } | null> {
    const token = randomUUID();
    // Read before the statement is sent: the lease ends here no later than it ends in the row, whose times are
    // PostgreSQL's, so that the clocks of the workers need not agree.
    const takenAt = performance.now();
    const [row] = await prisma.$queryRaw<KeyRow[]>`
      UPDATE keys
      SET lease_token = ${token}::uuid, lease_until = now() + ${leaseTime} * interval '1 millisecond'
      WHERE id = ${keyId}::uuid AND (lease_until IS NULL OR lease_until < now())
      RETURNING *`;
    return row === undefined ? null : { lease: new Lease(prisma, keyId, token, takenAt), row };
  }

  /** What a statement must match to be this lease's. */
  get fence() {
    return { id: this.keyId, lease_token: this.token };
  }

  /** @throws LeaseLost when another may hold the lease by now. Called right before every write to KMS. */
  assertHeld(): void {
    if (performance.now() >= this.#validUntil) throw new LeaseLost(this.keyId);
  }

  /** Ends the renewal. The row's lease is given back by the statement that records the result. */
  stop(): void {
    clearInterval(this.#timer);
  }

  /** Gives the lease back without a result. */
  async giveBack(): Promise<void> {
    this.stop();
    await this.#prisma.key.updateMany({ where: this.fence, data: released });
  }

  async #renew(): Promise<void> {
    const startedAt = performance.now();
    const count = await this.#prisma.$executeRaw`
      UPDATE keys SET lease_until = now() + ${leaseTime} * interval '1 millisecond'
      WHERE id = ${this.keyId}::uuid AND lease_token = ${this.token}::uuid`;
    this.#validUntil = count === 1 ? startedAt + leaseTime : 0;
  }
}

/** The columns of a key that nobody syncs. */
export const released = { lease_token: null, lease_until: null };

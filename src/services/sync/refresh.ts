/**
 * The refresh of the fleet. Of most keys it is only to be seen that nothing has changed: they are taken, looked at and
 * recorded in batches. Any other gets a sync of its own.
 */
import type { KeyRow } from '../../database/client.ts';
import { differences } from '../../domain/drift.ts';
import { type RecentWrite, withoutStaleFields } from '../../domain/recent-writes.ts';
import { KmsFailure } from '../../kms/errors.ts';
import { observeKey } from '../../kms/observe.ts';
import { Urgency, withUrgency } from '../../kms/urgency.ts';
import type { Services } from '../context.ts';
import { desiredOf, observedOf } from '../keys/declared.ts';
import { nextLook, type Seen } from './engine.ts';
import type { Hands } from './hands.ts';
import { Places } from './places.ts';
import { RefreshBatch, type Unchanged } from './refresh-batch.ts';

/** Keys of a batch: so few that a change of one of them need not wait for long. */
export const batchSize = 32;
/** Batches at once: while one is taken or recorded, others are being read. */
const batchesAtOnce = 3;
/** Keys of one provider that a process reads at once. */
export const readAtOnce = 24;

/** unknown: the key could not be read, or was given up meanwhile. */
type Look = { kind: 'unchanged'; unchanged: Unchanged } | { kind: 'differs'; seen: Seen } | { kind: 'unknown' };

export class Refresher {
  readonly #services: Services;
  readonly #urgent: Hands;
  readonly #scheduled: Hands;
  readonly #draining = new Map<string, Promise<void>>();
  readonly #batches = new Set<RefreshBatch>();
  #isStopping = false;

  constructor(services: Services, { urgent, scheduled }: { urgent: Hands; scheduled: Hands }) {
    this.#services = services;
    this.#urgent = urgent;
    this.#scheduled = scheduled;
  }

  /** Refreshes the provider's keys that are due, until none is. Asked again meanwhile, it is the same work. */
  drain(provider: string): Promise<void> {
    const draining = this.#draining.get(provider) ?? this.#drain(provider);
    this.#draining.set(provider, draining);
    return draining;
  }

  /** Gives a key up, because somebody waits for it. @returns whether it was in a batch. */
  async giveUp(keyId: string): Promise<boolean> {
    for (const batch of this.#batches) if (batch.holds(keyId)) return batch.giveUp(keyId);
    return false;
  }

  /** Takes no more batches, and waits for those in hand. */
  async stop(): Promise<void> {
    this.#isStopping = true;
    await Promise.all(this.#draining.values());
  }

  async #drain(provider: string): Promise<void> {
    const readers = new Places(readAtOnce);
    try {
      await Promise.all(Array.from({ length: batchesAtOnce }, () => this.#refreshBatches(provider, readers)));
    } catch (error) {
      this.#services.log.error({ err: error, provider }, 'a refresh broke off');
    } finally {
      this.#draining.delete(provider);
    }
  }

  async #refreshBatches(provider: string, readers: Places): Promise<void> {
    while (!this.#isStopping) {
      const batch = await RefreshBatch.take(this.#services, provider, batchSize);
      if (batch === null) return;
      this.#batches.add(batch);
      try {
        await this.#refresh(batch, readers);
      } finally {
        batch.stop();
        this.#batches.delete(batch);
      }
    }
  }

  async #refresh(batch: RefreshBatch, readers: Places): Promise<void> {
    const writes = await batch.recentWrites();
    const looks = new Map<string, Look>();
    await Promise.all(
      [...batch.rows.values()].map(async (row) => {
        await readers.take();
        try {
          const look = () => lookAt(this.#services, row, writes.get(row.id) ?? []);
          looks.set(row.id, batch.holds(row.id) ? await withUrgency(new Urgency(false), look) : { kind: 'unknown' });
        } finally {
          readers.giveBack();
        }
      }),
    );
    await batch.record([...looks.values()].flatMap((look) => (look.kind === 'unchanged' ? [look.unchanged] : [])));
    for (const { id, isAskedFor } of await batch.giveBack(!this.#isStopping)) {
      const look = looks.get(id);
      if (isAskedFor) void this.#urgent.take(id);
      else if (!this.#isStopping) void this.#scheduled.take(id, look?.kind === 'differs' ? look.seen : undefined);
    }
  }
}

async function lookAt(services: Services, row: KeyRow, writes: RecentWrite[]): Promise<Look> {
  const expected = observedOf(row);
  try {
    const kms = await services.kmsFor(row.provider);
    if (kms === undefined || row.key_id === null || expected === null) return { kind: 'unknown' };
    const read = await observeKey(kms, row.key_id);
    const observed = withoutStaleFields(read, expected, writes);
    if (differences(desiredOf(row, services.ownershipTagName), observed).length > 0) {
      return { kind: 'differs', seen: { read, statusVersion: row.status_version } };
    }
    const { settle, refresh } = services.times;
    const dueAt = nextLook(observed, { settling: observed === read ? 0 : settle, refresh, isToBeMended: false });
    return { kind: 'unchanged', unchanged: { row, observed, dueAt } };
  } catch (error) {
    if (error instanceof KmsFailure) return { kind: 'unknown' };
    throw error;
  }
}

/**
 * The refresh of the fleet. Of most keys it is only to be seen that nothing has changed: they are taken, looked at and
 * recorded in batches. Any other gets a sync of its own.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { isDeepStrictEqual } from 'node:util';
import { differences } from '../../domain/drift.ts';
import type { RecentWrite } from '../../domain/recent-writes.ts';
import { changedSince } from '../../domain/recorded.ts';
import { KmsFailure } from '../../kms/errors.ts';
import { observeKey } from '../../kms/observe.ts';
import { withUrgency } from '../../kms/urgency.ts';
import type { Services } from '../context.ts';
import { type Access, accessTo, homeElsewhere } from '../providers/access.ts';
import { servicesWith } from '../providers/quotas.ts';
import { desiredOf, observedOf } from '../rows/declared.ts';
import type { KeyRow } from '../rows/key-row.ts';
import { isHeldBack } from '../rows/predicates.ts';
import type { Seen } from './engine.ts';
import { StoodStill } from './lease.ts';
import { believed } from './look.ts';
import { nextLook } from './mode.ts';
import type { SyncPool } from './pool.ts';
import { RefreshBatch, type Unchanged } from './refresh-batch.ts';
import { Semaphore } from './semaphore.ts';

/** Keys of a batch: so few that a change of one of them need not wait for long. */
const batchSize = 32;
/** Batches at once: while one is taken or recorded, others are being read. */
const batchesAtOnce = 6;
/** Keys of one provider that a process reads at once. */
export const readAtOnce = 16;
/** Milliseconds for which the next read of a reader holds back while this process is at something that somebody waits for. */
const pauseForOthers = 50;

/** unknown: the key could not be read, or was given up meanwhile. */
type Look = { kind: 'unchanged'; unchanged: Unchanged } | { kind: 'differs'; seen: Seen } | { kind: 'unknown' };

const unknown: Look = { kind: 'unknown' };

export class Refresher {
  readonly #services: Services;
  readonly #provider: string;
  readonly #interactive: SyncPool;
  readonly #scheduled: SyncPool;
  readonly #batches = new Set<RefreshBatch>();
  /** For each batch that is being taken, the keys that were to be given up meanwhile. */
  readonly #askedFor = new Set<Set<string>>();
  #draining: Promise<void> | null = null;
  #isStopping = false;

  /** @param pools those that sync a key by itself. */
  constructor(services: Services, provider: string, pools: { interactive: SyncPool; scheduled: SyncPool }) {
    this.#services = services;
    this.#provider = provider;
    this.#interactive = pools.interactive;
    this.#scheduled = pools.scheduled;
  }

  /** Refreshes the provider's keys that are due, until none is. Asked again meanwhile, it is the same work. */
  drain(): Promise<void> {
    this.#draining ??= this.#drain();
    return this.#draining;
  }

  /** Gives a key up, because somebody waits for it. @returns whether it was in a batch. */
  async giveUp(keyId: string): Promise<boolean> {
    for (const batch of this.#batches) if (batch.holds(keyId)) return batch.giveUp(keyId);
    for (const asked of this.#askedFor) asked.add(keyId);
    return false;
  }

  /** Takes no more batches, and waits for those that are under way. */
  async stop(): Promise<void> {
    this.#isStopping = true;
    await this.#draining;
  }

  async #drain(): Promise<void> {
    const readers = new Semaphore(readAtOnce);
    try {
      await Promise.all(Array.from({ length: batchesAtOnce }, () => this.#refreshBatches(readers)));
    } catch (error) {
      this.#services.log.error({ err: error, provider: this.#provider }, 'a refresh broke off');
    } finally {
      this.#draining = null;
    }
  }

  async #refreshBatches(readers: Semaphore): Promise<void> {
    while (!this.#isStopping) {
      const batch = await this.#take();
      if (batch === null) return;
      try {
        await Promise.race([this.#refresh(batch, readers), batch.standstill]);
      } catch (error) {
        if (!(error instanceof StoodStill)) throw error;
        this.#services.log.error(
          { err: error, provider: this.#provider },
          'a refresh stood still: its keys are left to others',
        );
      } finally {
        batch.stop();
        this.#batches.delete(batch);
      }
    }
  }

  async #take(): Promise<RefreshBatch | null> {
    const asked = new Set<string>();
    this.#askedFor.add(asked);
    try {
      const batch = await RefreshBatch.take(this.#services, this.#provider, batchSize);
      if (batch === null) return null;
      this.#batches.add(batch);
      for (const keyId of asked) if (await batch.giveUp(keyId)) void this.#interactive.add(keyId);
      return batch;
    } finally {
      this.#askedFor.delete(asked);
    }
  }

  async #refresh(batch: RefreshBatch, readers: Semaphore): Promise<void> {
    const access = await accessFor(this.#services, batch.provider);
    const services = access === null ? this.#services : servicesWith(this.#services, access.settings);
    const writes = await batch.recentWrites(services.times.settle);
    const looks = new Map<string, Look>();
    await Promise.all(
      [...batch.rows.values()].map(async (row) => {
        // To wait for a reader is no standstill: others hold theirs as long as they get on.
        await batch.work.waitFor(readers.acquire());
        try {
          if (this.#interactive.isBusy) await delay(pauseForOthers);
          const look = () => lookAt(services, access, { row, gap: batch.gap }, writes.get(row.id) ?? []);
          const looking = batch.holds(row.id) ? withUrgency(batch.work, look) : unknown;
          looks.set(row.id, await Promise.race([looking, batch.standstill]));
        } finally {
          readers.release();
        }
      }),
    );
    await batch.record([...looks.values()].flatMap((look) => (look.kind === 'unchanged' ? [look.unchanged] : [])));
    for (const { id, isAskedFor } of await batch.giveBack(!this.#isStopping)) {
      const look = looks.get(id);
      if (isAskedFor) void this.#interactive.add(id);
      else if (!this.#isStopping) {
        void this.#scheduled.add(id, { seen: look?.kind === 'differs' ? look.seen : undefined, isPassedOn: true });
      }
    }
  }
}

/** @returns null when KMS can't be asked: the keys' own syncs will say so of each. */
async function accessFor(services: Services, provider: string): Promise<Access | null> {
  try {
    return await accessTo(services, provider);
  } catch (error) {
    if (error instanceof KmsFailure) return null;
    throw error;
  }
}

async function lookAt(
  services: Services,
  access: Access | null,
  { row, gap }: { row: KeyRow; gap: number },
  writes: RecentWrite[],
): Promise<Look> {
  const expected = observedOf(row);
  if (access === null || row.key_id === null || row.arn === null || expected === null) return { kind: 'unknown' };
  const { kms, settings } = access;
  try {
    if ((await homeElsewhere(kms, row.arn)) !== null) return { kind: 'unknown' };
    const desired = desiredOf(row, settings, services.ownershipTagName);
    const read = await observeKey(kms, row.key_id, desired);
    const { whole, observed, isStale } = believed(row, desired, read, writes);
    // What is the matter with a held key, its own sync finds out.
    const isChanged = isHeldBack(row, gap) && changedSince(desired, [expected], whole, { isOwned: true }).length > 0;
    const isClaimed = observed.tags[services.ownershipTagName] === row.id;
    const isAnother = observed.primary_arn !== expected.primary_arn;
    if (!isClaimed || isChanged || isAnother || differences(desired, observed).length > 0) {
      return { kind: 'differs', seen: { read, statusVersion: row.status_version } };
    }
    const settling = isStale ? services.times.settle : 0;
    const refresh = settings.refresh_interval_seconds * 1000;
    const dueAt = nextLook(row, observed, { now: services.now(), settling, refresh, isToBeMended: false });
    const isAsBefore = isDeepStrictEqual(observed, expected);
    return { kind: 'unchanged', unchanged: { row, observed: isAsBefore ? null : observed, dueAt } };
  } catch (error) {
    // Whatever is odd about one key is for its own sync to tell: the others are looked at.
    if (!(error instanceof KmsFailure)) services.log.warn({ err: error, key: row.id }, 'a look at a key failed');
    return { kind: 'unknown' };
  }
}

/**
 * Carries imports out. What is left to do is in the rows of their keys: any process takes some of them up, at any time, and goes
 * on where another has stopped. KMS is asked behind all that somebody waits for.
 */
import { setTimeout as delay } from 'node:timers/promises';
import type { Services } from '../context.ts';
import { readAtOnce } from '../sync/refresh.ts';
import { Semaphore } from '../sync/semaphore.ts';
import { importBatch } from './batch.ts';
import { finish } from './ending.ts';
import { findKeys } from './listing.ts';
import { findDone, isAnyRunning } from './rows/imports.ts';
import { findDue } from './rows/items.ts';

/** Milliseconds between looks for imports. */
const interval = 500;
/** Batches of an import at once: while one is recorded, others are being read. */
const batchesAtOnce = 3;
/** Milliseconds that what is under way may hold up the end of the process: what is left is another's. */
const stopGrace = 5000;

/** Has this process take part in imports. */
export function startImporting(services: Services): { stop(): Promise<void> } {
  const ending = new AbortController();
  const { signal } = ending;
  const importer = new Importer(services, signal);
  const work = async () => {
    while (!signal.aborted) {
      await importer.look().catch((error) => services.log.warn({ err: error }, 'could not look for imports'));
      await delay(interval, undefined, { signal }).catch(() => {});
    }
  };
  const working = work();
  return {
    stop: async () => {
      ending.abort();
      await working;
      await Promise.race([importer.rest(), delay(stopGrace, undefined, { ref: false })]);
    },
  };
}

class Importer {
  readonly #services: Services;
  readonly #signal: AbortSignal;
  /** Of each provider: KMS is asked for so many keys at once. */
  readonly #readers = new Map<string, Semaphore>();
  readonly #busy = new Map<string, Promise<void>>();

  constructor(services: Services, signal: AbortSignal) {
    this.#services = services;
    this.#signal = signal;
  }

  /** Begins with whatever is due. */
  async look(): Promise<void> {
    // Most of the time there is none, and an idle process should ask no more than that.
    if (!(await isAnyRunning(this.#services.database.pool))) return;
    this.#begin('listing', async () => {
      while (!this.#signal.aborted && (await findKeys(this.#services, () => this.#signal.aborted))) {}
    });
    // Where a process has died right after the last key, too.
    for (const id of await findDone(this.#services.database.pool)) await finish(this.#services, id);
    for (const due of await findDue(this.#services.database.pool, this.#services.watch.isHeld)) {
      this.#begin(`${due.import_id} ${due.provider}`, () =>
        this.#drain({ importId: due.import_id, provider: due.provider }),
      );
    }
  }

  /** Waits for what is under way. */
  async rest(): Promise<void> {
    await Promise.all(this.#busy.values());
  }

  /** Asked again meanwhile, it is the same work. */
  #begin(name: string, work: () => Promise<void>): void {
    if (this.#busy.has(name)) return;
    const working = work()
      .catch((error) => this.#services.log.warn({ err: error }, 'an import broke off: it goes on in a while'))
      .finally(() => this.#busy.delete(name));
    this.#busy.set(name, working);
  }

  async #drain(due: { importId: string; provider: string }): Promise<void> {
    const readers = this.#readers.get(due.provider) ?? new Semaphore(readAtOnce);
    this.#readers.set(due.provider, readers);
    const takeTurns = async () => {
      while (!this.#signal.aborted && (await importBatch(this.#services, due, readers))) {}
    };
    await Promise.all(Array.from({ length: batchesAtOnce }, takeTurns));
    await finish(this.#services, due.importId);
  }
}

/** The time of the local KMS, which can be moved forward so that deletions come due, and be as wrong as a clock can be. */
import type { Store } from './store.ts';

const setting = 'clock_offset';

export class Clock {
  readonly #store: Store;
  #offset: number;
  /** Milliseconds by which this clock differs from the right one. */
  error = 0;

  constructor(store: Store) {
    this.#store = store;
    this.#offset = store.readSetting<number>(setting) ?? 0;
  }

  /** Milliseconds since the epoch. */
  now(): number {
    return this.wallClock() + this.#offset;
  }

  /** What the host's clock says: that of signatures and Date headers, which moving the time does not touch. */
  wallClock(): number {
    return Date.now() + this.error;
  }

  /** Moves the clock forward, for good: the new time survives a restart as the keys do. */
  advance(milliseconds: number): void {
    this.#offset += milliseconds;
    this.#store.saveSetting(setting, this.#offset);
  }
}

/** As KMS's JSON has it: seconds since the epoch, with fractions. */
export function inSeconds(milliseconds: number): number {
  return milliseconds / 1000;
}

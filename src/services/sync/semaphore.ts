/** A counting semaphore: permits, given to those who ask in their order. */
export class Semaphore {
  readonly #count: number;
  #free: number;
  #isClosed = false;
  readonly #waiting: ((isGiven: boolean) => void)[] = [];
  /** Those who had given theirs back for a wait that is over: they go before all who have not begun, or they would pile up here. */
  readonly #returning: (() => void)[] = [];

  constructor(count: number) {
    this.#count = count;
    this.#free = count;
  }

  /** Waits for a permit. @returns false when none is given any more. */
  async acquire(): Promise<boolean> {
    if (this.#isClosed) return false;
    if (this.tryAcquire()) return true;
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  /** Takes a permit if one is free: then nobody waits. @returns whether it is given. */
  tryAcquire(): boolean {
    if (this.#isClosed || this.#free === 0) return false;
    this.#free -= 1;
    return true;
  }

  release(): void {
    const next = this.#returning.shift() ?? this.#waiting.shift();
    if (next === undefined) this.#free += 1;
    else next(true);
  }

  /** Whether any permit is taken. */
  get isInUse(): boolean {
    return this.#free < this.#count;
  }

  /** How many wait for a permit. */
  get waiting(): number {
    return this.#waiting.length;
  }

  /**
   * For the holder of a permit: others have it while something is waited for, so that work which waits keeps none from working.
   * Of several waits at once, it is released with the first and acquired again with the last.
   */
  releasedWhile(): <Result>(wait: Promise<Result>) => Promise<Result> {
    let waits = 0;
    return async (wait) => {
      waits += 1;
      if (waits === 1) this.release();
      try {
        return await wait;
      } finally {
        waits -= 1;
        if (waits === 0) await this.#acquireAgain();
      }
    };
  }

  async #acquireAgain(): Promise<void> {
    if (this.#free > 0) this.#free -= 1;
    else await new Promise<void>((resolve) => this.#returning.push(resolve));
  }

  /** Sends those away who wait. */
  close(): void {
    this.#isClosed = true;
    for (const leave of this.#waiting.splice(0)) leave(false);
  }
}

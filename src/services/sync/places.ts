/** A number of places, given to those who ask in their order. */
export class Places {
  readonly #count: number;
  #free: number;
  #isClosed = false;
  readonly #waiting: ((isGiven: boolean) => void)[] = [];
  /** Those whose wait is over: they go before all who have not begun, or their turns would pile up here. */
  readonly #returning: (() => void)[] = [];

  constructor(count: number) {
    this.#count = count;
    this.#free = count;
  }

  /** Waits for a place. @returns false when none is given any more. */
  async take(): Promise<boolean> {
    if (this.#isClosed) return false;
    if (this.takeAtOnce()) return true;
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  /** Takes a place if one is free: then nobody waits. @returns whether it is given. */
  takeAtOnce(): boolean {
    if (this.#isClosed || this.#free === 0) return false;
    this.#free -= 1;
    return true;
  }

  giveBack(): void {
    const next = this.#returning.shift() ?? this.#waiting.shift();
    if (next === undefined) this.#free += 1;
    else next(true);
  }

  /** Whether any place is taken, and not lent. */
  get isInUse(): boolean {
    return this.#free < this.#count;
  }

  /** How many wait for a place. */
  get waiting(): number {
    return this.#waiting.length;
  }

  /**
   * For the holder of a place: gives it to others while something is waited for, so that work which waits keeps none from
   * working. Of several waits at once, the place is given away with the first and taken again with the last.
   */
  lender(): <Result>(wait: Promise<Result>) => Promise<Result> {
    let waits = 0;
    return async (wait) => {
      waits += 1;
      if (waits === 1) this.giveBack();
      try {
        return await wait;
      } finally {
        waits -= 1;
        if (waits === 0) await this.#takeBack();
      }
    };
  }

  async #takeBack(): Promise<void> {
    if (this.#free > 0) this.#free -= 1;
    else await new Promise<void>((resolve) => this.#returning.push(resolve));
  }

  /** Sends those away who wait. */
  close(): void {
    this.#isClosed = true;
    for (const leave of this.#waiting.splice(0)) leave(false);
  }
}

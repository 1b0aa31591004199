/** A number of places, given to those who ask in their order. */
export class Places {
  #free: number;
  #isClosed = false;
  readonly #waiting: ((isGiven: boolean) => void)[] = [];

  constructor(count: number) {
    this.#free = count;
  }

  /** Waits for a place. @returns false when none is given any more. */
  async take(): Promise<boolean> {
    if (this.#isClosed) return false;
    if (this.#free > 0) {
      this.#free -= 1;
      return true;
    }
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  giveBack(): void {
    const next = this.#waiting.shift();
    if (next === undefined) this.#free += 1;
    else next(true);
  }

  /** Sends those away who wait. */
  close(): void {
    this.#isClosed = true;
    for (const leave of this.#waiting.splice(0)) leave(false);
  }
}

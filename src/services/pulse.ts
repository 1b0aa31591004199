/** Whether the worker of this process works: it looks for keys that are due every second or so. */

/** Milliseconds since the last look that succeeded, from which on the worker counts as stuck. */
const longestPause = 15_000;

export class Pulse {
  #lastBeat = performance.now();

  /** A look has succeeded. */
  beat(): void {
    this.#lastBeat = performance.now();
  }

  /** What is wrong; null: nothing. */
  fault(): string | null {
    const pause = performance.now() - this.#lastBeat;
    if (pause < longestPause) return null;
    return `The worker has not been able to look for due keys for ${Math.round(pause / 1000)} seconds; the log says why.`;
  }
}

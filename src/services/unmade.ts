/**
 * The records of which this process knows that KMS has no key: that they are new, or that a search has told so. It is known
 * in memory alone. What a database says of a record without a key may be older than the key: it comes back with a backup.
 */

/** Records; when more are known, the oldest are forgotten, and their keys are looked for. */
const most = 10_000;
/** Milliseconds after which nothing is taken for known any more. */
const longest = 600_000;

export class Unmade {
  readonly #since = new Map<string, number>();

  add(id: string): void {
    this.#since.delete(id);
    this.#since.set(id, performance.now());
    const [oldest] = this.#since.keys();
    if (this.#since.size > most && oldest !== undefined) this.#since.delete(oldest);
  }

  /** Whether the record surely has no key. Asked once: what follows may make one. */
  take(id: string): boolean {
    const since = this.#since.get(id);
    this.#since.delete(id);
    return since !== undefined && performance.now() - since < longest;
  }

  forget(id: string): void {
    this.#since.delete(id);
  }

  clear(): void {
    this.#since.clear();
  }
}

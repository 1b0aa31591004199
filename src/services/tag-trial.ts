/**
 * What a process knows of whether a KMS keeps the tags that CreateKey gives: one key is made and its tags are looked at before
 * another is made. It is known in memory alone.
 */

/** Milliseconds for which it is believed that a KMS drops tags: it may be mended. */
const believedFor = 3_600_000;

/**
 * The record whose key is to tell, until when others wait for that, how often its tags were looked at, and since when. Times are
 * those of performance.now(), which no clock that is put right changes.
 */
type Trial = { id: string; until: number; looks: number; since: number; looked: PromiseWithResolvers<void> };

/** What this process knows of one account and Region at one endpoint. */
export class TagTrial {
  isKept = false;
  #dropped: { arn: string; at: number } | null = null;
  #trial: Trial | null = null;

  /** The key that was made without its tags; null: none, as far as is known. */
  get dropped(): string | null {
    return this.#dropped !== null && performance.now() - this.#dropped.at < believedFor ? this.#dropped.arn : null;
  }

  /** The trial of another record that is under way; null: this one's begins, or goes on. */
  enter(id: string, longest: number): Readonly<Trial> | null {
    const now = performance.now();
    if (this.#trial !== null && this.#trial.until > now) return this.#trial.id === id ? null : this.#trial;
    this.#trial?.looked.resolve();
    this.#trial = { id, until: now + longest, looks: 0, since: now, looked: Promise.withResolvers<void>() };
    return null;
  }

  /** The tags of the key that is to tell were looked at, and are not there. @returns how often, and for how long by now. */
  lookedAt(longest: number): { looks: number; milliseconds: number } {
    const now = performance.now();
    if (this.#trial === null) return { looks: 0, milliseconds: 0 };
    if (this.#trial.looks === 0) this.#trial.since = now;
    this.#trial.looks += 1;
    this.#trial.until = now + longest;
    this.#trial.looked.resolve();
    return { looks: this.#trial.looks, milliseconds: now - this.#trial.since };
  }

  /** No key was made that could tell, or it has told. */
  leave(id: string): void {
    if (this.#trial?.id !== id || this.#trial.looks > 0) return;
    this.#trial.looked.resolve();
    this.#trial = null;
  }

  settle(arn: string, isKept: boolean): void {
    this.isKept = isKept;
    this.#dropped = isKept ? null : { arn, at: performance.now() };
    this.#trial?.looked.resolve();
    this.#trial = null;
  }
}

/**
 * What a process knows of whether a KMS keeps the tags that CreateKey gives: one key is made and its tags are looked at before
 * another is made. It is known in memory alone.
 */

/** Milliseconds for which it is believed that a KMS drops tags: it may be mended. */
const believedFor = 3_600_000;

/** The record whose key is to tell, until when (by performance.now()), and when its tags were looked at for the first time. */
type Trial = { id: string; until: number; looked: PromiseWithResolvers<void>; hasLooked: boolean };

/** What this process knows of one account and Region at one endpoint. */
export class TagTrial {
  isKept = false;
  #dropped: { arn: string; at: number } | null = null;
  #trial: Trial | null = null;

  /** The key that was made without its tags; null: none, as far as is known. */
  get dropped(): string | null {
    return this.#dropped !== null && performance.now() - this.#dropped.at < believedFor ? this.#dropped.arn : null;
  }

  /** The trial of another record that is under way; null: this one's begins. */
  enter(id: string, longest: number): Trial | null {
    const now = performance.now();
    if (this.#trial !== null && this.#trial.id !== id && this.#trial.until > now) return this.#trial;
    this.#trial?.looked.resolve();
    this.#trial = { id, until: now + longest, looked: Promise.withResolvers<void>(), hasLooked: false };
    return null;
  }

  /** The key's tags were looked at, and are not there yet. */
  lookedAt(id: string): void {
    if (this.#trial?.id !== id) return;
    this.#trial.hasLooked = true;
    this.#trial.looked.resolve();
  }

  /** No key was made that could tell, or it has told. */
  leave(id: string): void {
    if (this.#trial?.id !== id || this.#trial.hasLooked) return;
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

/**
 * Reads after writes may be stale, as KMS's are: for some seconds after a write, every other read of the same kind sees the
 * key as it was before. Off unless asked for. Source: AWS KMS developer guide, "AWS KMS eventual consistency".
 */
type KeyName = { account: string; region: string; keyId: string };

/** A key as it was before a write, and when that was over. */
type Past<Key> = { endedAt: number; before: Key | undefined };

export class StaleReads<Key> {
  /** Seconds after a write in which reads may be stale. */
  seconds = 0;
  /** For each key, what it was in these last seconds, oldest first. */
  readonly #past = new Map<string, Past<Key>[]>();
  readonly #turns = new Map<string, number>();
  #operation: string | null = null;

  /** Runs an operation whose reads may be stale. */
  during<Result>(operation: string, read: () => Result): Result {
    this.#operation = this.seconds > 0 ? operation : null;
    try {
      return read();
    } finally {
      this.#operation = null;
    }
  }

  /** Remembers a key as it was before a write. */
  changed(key: KeyName, before: Key | undefined): void {
    if (this.seconds === 0) return;
    this.#past.set(nameOf(key), [...this.#recent(key), { endedAt: Date.now(), before }]);
  }

  /** The key as this read sees it: as it is, or on every other read as it was. */
  seen(key: KeyName, current: Key | undefined): Key | undefined {
    if (this.#operation === null) return current;
    const past = this.#pastOf(key);
    if (past === undefined) return current;
    return this.#isTurnOfThePast(key) ? past.before : current;
  }

  /** Whether this list has the key in it. */
  lists(key: KeyName): boolean {
    if (this.#operation === null) return true;
    const past = this.#pastOf(key);
    return past === undefined || past.before !== undefined || !this.#isTurnOfThePast(key);
  }

  /** The oldest state that a read may still see. */
  #pastOf(key: KeyName): Past<Key> | undefined {
    return this.#recent(key)[0];
  }

  #recent(key: KeyName): Past<Key>[] {
    const oldest = Date.now() - this.seconds * 1000;
    const recent = (this.#past.get(nameOf(key)) ?? []).filter(({ endedAt }) => endedAt > oldest);
    if (recent.length === 0) this.#past.delete(nameOf(key));
    return recent;
  }

  #isTurnOfThePast(key: KeyName): boolean {
    const name = `${this.#operation} ${nameOf(key)}`;
    const turn = this.#turns.get(name) ?? 0;
    this.#turns.set(name, turn + 1);
    return turn % 2 === 0;
  }
}

function nameOf({ account, region, keyId }: KeyName): string {
  return `${account}/${region}/${keyId}`;
}

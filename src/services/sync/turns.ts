/** What waits for a quota, by whose it is: each owner in its turn, and of each what came first. Nobody takes it all. */
export class Turns {
  /** In the order of their turns. */
  readonly #waiting = new Map<string, Set<string>>();
  readonly #ids = new Set<string>();

  get size(): number {
    return this.#ids.size;
  }

  /** Of an id that waits already, nothing changes. */
  add(owner: string, id: string): void {
    if (this.#ids.has(id)) return;
    this.#ids.add(id);
    const ids = this.#waiting.get(owner) ?? new Set();
    this.#waiting.set(owner, ids.add(id));
  }

  /** Takes the next; undefined: none waits. */
  take(): string | undefined {
    const [first] = this.#waiting;
    if (first === undefined) return undefined;
    const [owner, ids] = first;
    const [id = ''] = ids;
    ids.delete(id);
    this.#ids.delete(id);
    this.#waiting.delete(owner);
    if (ids.size > 0) this.#waiting.set(owner, ids);
    return id;
  }

  clear(): void {
    this.#waiting.clear();
    this.#ids.clear();
  }
}

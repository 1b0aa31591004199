/** How much of the service one caller has at once. */
import { ProblemError } from '../services/problems.ts';

/** Which requests are counted together, and how many of them there may be; 0: any number. */
export type Bound = { name: string; most: number; underWay: Map<string, number> };

/**
 * What is bounded: not who waits, but what is done. A caller that hangs up leaves its request to be carried out, and its place with
 * it.
 */
export class Place {
  readonly #bound: Bound;
  readonly #caller: string;
  #isTaken = false;
  #hasBegun = false;

  constructor(bound: Bound, caller: string) {
    this.#bound = bound;
    this.#caller = caller;
  }

  /** @throws ProblemError too-many-requests */
  take(): void {
    if (this.#isTaken) return;
    const { name, most, underWay } = this.#bound;
    const count = underWay.get(this.#caller) ?? 0;
    if (most > 0 && count >= most) throw tooMany(`${name} are under way`, 1);
    underWay.set(this.#caller, count + 1);
    this.#isTaken = true;
  }

  /** The request is whole: from now on it ends with an answer, whether or not somebody is there to get it. */
  begin(): void {
    // Whoever hung up while it was looked at who that is has no place any more.
    this.take();
    this.#hasBegun = true;
  }

  /** Frees the place of a request that will never be whole. */
  hangUp(): void {
    if (!this.#hasBegun) this.free();
  }

  free(): void {
    if (!this.#isTaken) return;
    this.#isTaken = false;
    const { underWay } = this.#bound;
    const left = (underWay.get(this.#caller) ?? 1) - 1;
    if (left > 0) underWay.set(this.#caller, left);
    else underWay.delete(this.#caller);
  }
}

/** Lets so many of each caller's in at once, the others in their order. */
export class Gate {
  readonly #most: number;
  readonly #inside = new Map<string, { count: number; waiting: (() => void)[] }>();

  constructor(most: number) {
    this.#most = most;
  }

  /** @returns what is to be called when it is done; more often does no harm. At once, where nobody has to be waited for. */
  enter(caller: string): (() => void) | Promise<() => void> {
    const own = this.#inside.get(caller) ?? { count: 0, waiting: [] };
    this.#inside.set(caller, own);
    if (own.count >= this.#most) return new Promise((resolve) => own.waiting.push(() => resolve(this.#wayOut(caller))));
    own.count += 1;
    return this.#wayOut(caller);
  }

  #wayOut(caller: string): () => void {
    let isInside = true;
    return () => {
      const own = this.#inside.get(caller);
      if (!isInside || own === undefined) return;
      isInside = false;
      const next = own.waiting.shift();
      if (next !== undefined) return next();
      own.count -= 1;
      if (own.count === 0) this.#inside.delete(caller);
    };
  }
}

/** @param what there are too many of. */
export function tooMany(what: string, seconds: number): ProblemError {
  const detail = `Too many ${what}. Nothing was recorded: try again in ${seconds} s.`;
  return new ProblemError('too-many-requests', detail, { retryAfter: Math.max(1, seconds) });
}

/** How much of the service one caller has at once. */
import { ProblemError } from '../services/problems.ts';

/**
 * What is bounded: not who waits, but what is done. A caller that hangs up leaves its request to be carried out, and its place with
 * it.
 */
export type Place = {
  /** @throws ProblemError too-many-requests */
  take(): void;
  /** The request is whole: from now on it ends with an answer, whether or not somebody is there to get it. */
  begin(): void;
  /** Frees the place of a request that will never be whole. */
  hangUp(): void;
  free(): void;
};

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

/** @param most 0: any number. */
export function placeIn(
  underWay: Map<string, number>,
  caller: string,
  { name, most }: { name: string; most: number },
): Place {
  let [isTaken, hasBegun] = [false, false];
  const take = () => {
    if (isTaken) return;
    const count = underWay.get(caller) ?? 0;
    if (most > 0 && count >= most) throw tooMany(`${name} are under way`, 1);
    underWay.set(caller, count + 1);
    isTaken = true;
  };
  const free = () => {
    if (!isTaken) return;
    isTaken = false;
    const left = (underWay.get(caller) ?? 1) - 1;
    if (left > 0) underWay.set(caller, left);
    else underWay.delete(caller);
  };
  const begin = () => {
    // Whoever hung up while it was looked at who that is has no place any more.
    take();
    hasBegun = true;
  };
  return { take, begin, hangUp: () => !hasBegun && free(), free };
}

/** @param what there are too many of. */
export function tooMany(what: string, seconds: number): ProblemError {
  const detail = `Too many ${what}. Nothing was recorded: try again in ${seconds} s.`;
  return new ProblemError('too-many-requests', detail, { retryAfter: Math.max(1, seconds) });
}

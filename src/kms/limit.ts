/** One operation's calls, held to a rate. Those that somebody waits for go first. */
import { setTimeout as sleep } from 'node:timers/promises';
import { type Bucket, factorAt, fill, type Part, type Rate, rateOf, slowed, waitFor } from '../domain/token-bucket.ts';
import { NotSent } from './permit.ts';
import { currentUrgency, type Urgency } from './urgency.ts';

type Waiter = { owner: object; urgency: Urgency; since: number; go: () => void; giveUp: (reason: NotSent) => void };

/** Seconds that calls have waited. */
export type Waited = { interactive: number; scheduled: number };

export class Limit {
  readonly waited: Waited = { interactive: 0, scheduled: 0 };
  readonly #quota: number;
  readonly #part: () => Part;
  #bucket: Bucket;
  #departures: Bucket;
  #slowdown = { factor: 1, at: 0 };
  #waiting: Waiter[] = [];
  #timer: NodeJS.Timeout | undefined;

  /**
   * @param quota requests a second that KMS takes.
   * @param part which part of it is this process's, as of now.
   */
  constructor(quota: number, part: () => Part) {
    this.#quota = quota;
    this.#part = part;
    this.#bucket = { tokens: Number.POSITIVE_INFINITY, at: performance.now() };
    this.#departures = this.#bucket;
  }

  /** Calls a second, as of now. */
  get perSecond(): number {
    return this.#rate(performance.now()).perSecond;
  }

  /**
   * Waits for the turn of the current work's next call.
   * @param owner whoever may end the wait.
   * @throws NotSent when the wait is given up.
   */
  take(isStopping: boolean, owner: object = this): Promise<void> {
    const urgency = currentUrgency();
    if (this.takeAtOnce()) return Promise.resolve();
    if (isStopping) return Promise.reject(stopping());
    const turn = new Promise<void>((resolve, reject) => {
      this.#waiting.push({ owner, urgency, since: performance.now(), go: resolve, giveUp: reject });
      this.#serve();
    });
    return urgency.waitFor(turn);
  }

  /** Takes the turn of the current work's next call if it has come. @returns whether it is taken. */
  takeAtOnce(): boolean {
    const rate = this.#fill();
    if (this.#waiting.length > 0 || this.#bucket.tokens < needOf(currentUrgency(), rate)) return false;
    this.#bucket.tokens -= 1;
    return true;
  }

  /**
   * Waits, most often for no time at all, until calls that have had their turns may go out: no faster than turns come. What
   * lies between the turn and the call (a busy database) gathers calls, and KMS would take them for too many.
   */
  async pace(): Promise<void> {
    const now = performance.now();
    const rate = this.#rate(now);
    const { tokens, at } = fill(this.#departures, rate, now);
    this.#departures = { tokens: tokens - 1, at };
    const wait = waitFor(0, this.#departures, rate);
    if (wait > 0) await sleep(wait);
  }

  /** A turn was not used. */
  giveBack(): void {
    this.#bucket.tokens += 1;
    this.#serve();
  }

  /** Takes a throttling answer to heart: the rate falls for a while, and what is saved up is gone. */
  slowDown(): void {
    this.#slowdown = slowed(this.#slowdown, performance.now());
    this.#fill();
    this.#bucket.tokens = Math.min(0, this.#bucket.tokens);
  }

  /** Ends the waits of one owner, whose calls are not held back here any more. */
  letGo(owner: object): void {
    const theirs = this.#waiting.filter((waiter) => waiter.owner === owner);
    this.#waiting = this.#waiting.filter((waiter) => waiter.owner !== owner);
    for (const waiter of theirs) this.#go(waiter);
  }

  /** Ends all waits: what waited is not sent. */
  close(): void {
    for (const { giveUp } of this.#leave()) giveUp(stopping());
  }

  #rate(now: number): Rate {
    return rateOf(this.#quota, this.#part(), factorAt(this.#slowdown, now));
  }

  #fill(): Rate {
    const now = performance.now();
    const rate = this.#rate(now);
    this.#bucket = fill(this.#bucket, rate, now);
    return rate;
  }

  #serve(): void {
    clearTimeout(this.#timer);
    const rate = this.#fill();
    for (let waiter = this.#first(); waiter !== undefined; waiter = this.#first()) {
      const wait = waitFor(needOf(waiter.urgency, rate), this.#bucket, rate);
      if (wait > 0) {
        this.#timer = setTimeout(() => this.#serve(), Math.min(Math.ceil(wait), longestSleep));
        return;
      }
      this.#bucket.tokens -= 1;
      this.#waiting.splice(this.#waiting.indexOf(waiter), 1);
      this.#go(waiter);
    }
  }

  #first(): Waiter | undefined {
    return this.#waiting.find(({ urgency }) => urgency.isInteractive) ?? this.#waiting[0];
  }

  #go({ urgency, since, go }: Waiter): void {
    this.waited[urgency.isInteractive ? 'interactive' : 'scheduled'] += (performance.now() - since) / 1000;
    go();
  }

  #leave(): Waiter[] {
    clearTimeout(this.#timer);
    return this.#waiting.splice(0);
  }
}

/** Milliseconds after which a wait is worked out anew: the rate, or whose work it is, may have changed. */
const longestSleep = 250;

/** Where there is room for two tokens, scheduled work leaves one, so that somebody's lone call finds it. */
function needOf({ isInteractive }: Urgency, { capacity }: Rate): number {
  return isInteractive || capacity < 2 ? 1 : 2;
}

function stopping(): NotSent {
  return new NotSent('It was not sent: it waited for its turn in the request quota, and this process stops.');
}

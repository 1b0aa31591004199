/** Whether somebody waits for what is being done, or the calendar asks for it: KMS's quotas go to people first. */
import { AsyncLocalStorage } from 'node:async_hooks';

/** Of one piece of work. It may become interactive while it is under way, never the other way round. */
export class Urgency {
  isInteractive: boolean;
  /** What goes around each wait for a quota; null: nothing does. */
  readonly aroundWait: (<Result>(wait: Promise<Result>) => Promise<Result>) | null;
  /** Operations whose turns have come, and are not used up. */
  readonly #prepaid: string[];
  #gotOnAt = performance.now();
  #waits = 0;

  constructor(isInteractive: boolean, aroundWait: Urgency['aroundWait'] = null, prepaid: readonly string[] = []) {
    this.isInteractive = isInteractive;
    this.aroundWait = aroundWait;
    this.#prepaid = [...prepaid];
  }

  /** Keeps a turn that has come for a call that is to follow. */
  prepay(operation: string): void {
    this.#prepaid.push(operation);
  }

  /** Uses up a turn that was waited for before. @returns whether there was one for this operation. */
  usePrepaid(operation: string): boolean {
    const index = this.#prepaid.indexOf(operation);
    if (index >= 0) this.#prepaid.splice(index, 1);
    return index >= 0;
  }

  /** Milliseconds since the work last got on. To wait for a quota is no standstill, however long the queue is. */
  get standstill(): number {
    return this.#waits > 0 ? 0 : performance.now() - this.#gotOnAt;
  }

  /** A call has ended, one way or another. */
  gotOn(): void {
    this.#gotOnAt = performance.now();
  }

  /** Waits for the work's turn. */
  async waitFor(turn: Promise<unknown>): Promise<void> {
    this.#waits += 1;
    try {
      await (this.aroundWait === null ? turn : this.aroundWait(turn));
    } finally {
      this.#waits -= 1;
      this.gotOn();
    }
  }
}

const urgencies = new AsyncLocalStorage<Urgency>();
const interactive = new Urgency(true);

/** Does a piece of work. */
export function withUrgency<Result>(urgency: Urgency, run: () => Promise<Result>): Promise<Result> {
  return urgencies.run(urgency, run);
}

/** That of the work under way. What nobody called scheduled is interactive. */
export function currentUrgency(): Urgency {
  return urgencies.getStore() ?? interactive;
}

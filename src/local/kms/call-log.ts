/** The calls that the local KMS got, for tests that count them. */
export type LoggedCall = {
  seq: number;
  at: string;
  account: string;
  /** ARN of who called. */
  caller: string;
  region: string;
  operation: string;
  key_id: string | null;
  parameters: unknown;
  /** The error's type; null: the call succeeded. */
  error: string | null;
};

const mostCalls = 100_000;

export class CallLog {
  #calls: LoggedCall[] = [];
  #next = 1;

  add(call: Omit<LoggedCall, 'seq'>): void {
    this.#calls.push({ seq: this.#next, ...call });
    this.#next += 1;
    if (this.#calls.length > mostCalls) this.#calls = this.#calls.slice(-mostCalls / 2);
  }

  /** The calls from number `since` on, how many of each operation, and the number of the next call. */
  read(since: number) {
    const calls = this.#calls.filter(({ seq }) => seq >= since);
    const counts: Record<string, number> = {};
    for (const { operation } of calls) counts[operation] = (counts[operation] ?? 0) + 1;
    return { next: this.#next, calls, counts };
  }

  clear(): void {
    this.#calls = [];
  }
}

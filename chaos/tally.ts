/** Counts what the runs saw. */
import type { Outcome } from './experiment.ts';
import type { Lab } from './lab.ts';
import { kinds } from './mix.ts';

export class Tally {
  readonly #labs: Lab[];
  readonly #startedAt = performance.now();
  #passed = 0;
  #violations: string[] = [];
  #slowest = { run: 0, milliseconds: 0 };
  #changes = 0;
  readonly #calls = new Map<string, number>();
  readonly #faults = new Map<string, number>();
  readonly #disturbances = new Map<string, number>();
  failed = 0;

  constructor(labs: Lab[]) {
    this.#labs = labs;
  }

  get runs(): number {
    return this.#passed + this.failed;
  }

  add(run: number, outcome: Outcome): void {
    if (outcome.violations.length > 0) this.failed += 1;
    else this.#passed += 1;
    this.#violations.push(...outcome.violations);
    if (outcome.convergence > this.#slowest.milliseconds) this.#slowest = { run, milliseconds: outcome.convergence };
    // The reads of a refresh are no cost of a change.
    if (!outcome.plan.some((line) => line.includes('refresh is due'))) {
      this.#changes += outcome.changes;
      addTo(this.#calls, outcome.calls);
    }
    addTo(this.#faults, outcome.faults);
    addTo(this.#disturbances, outcome.disturbances);
  }

  /** What the look at everything found, after the last run. */
  addLast(violations: string[]): void {
    this.#violations.push(...violations);
    if (violations.length > 0) this.failed += 1;
  }

  async summary(): Promise<string> {
    const all = this.#labs.flatMap(({ replicas, guest }) => [...replicas, guest]);
    const fired = (await Promise.all(all.map((replica) => replica.fired()))).flat();
    const at = (action: string) => fired.filter((point) => point.action === action).length;
    const count = (name: string) => this.#disturbances.get(name) ?? 0;
    const takeovers = all.reduce((sum, replica) => sum + replica.allTakeovers, 0);
    const faults = [...this.#faults].map(([kind, times]) => `${kind} ${times}`).join(', ') || 'none';
    const calls = [...this.#calls].sort(([, first], [, second]) => second - first);
    const total = calls.reduce((sum, [, times]) => sum + times, 0);
    const each = (times: number) => (times / Math.max(1, this.#changes)).toFixed(1);
    const points = new Set(fired.map(({ point }) => point)).size;
    const others = kinds
      .filter((kind) => !/^(failure-points|kill|freeze|kill-postgres)$/.test(kind))
      .map((kind) => `${kind} ${count(kind)}`)
      .join(', ');
    const lines = [
      '',
      `kills: ${at('kill')} at failure points, ${count('kill')} at any moment; PostgreSQL ${count('kill-postgres')}`,
      `freezes: ${at('freeze')} at failure points, ${count('freeze')} at any moment; ${points} points seen`,
      `calls that a fault befell: ${faults}`,
      `disturbances: ${others}`,
      `takeovers: ${takeovers}`,
      `slowest convergence: ${(this.#slowest.milliseconds / 1000).toFixed(1)} s, in run ${this.#slowest.run}`,
      `KMS calls per converged change, in runs without a refresh: ${each(total)} (${total} for ${this.#changes}); ${calls
        .map(([operation, times]) => `${operation} ${each(times)}`)
        .join(', ')}`,
      `violations: ${this.#violations.length}`,
      `time: ${((performance.now() - this.#startedAt) / 1000).toFixed(0)} s`,
      `${this.#passed} passed, ${this.failed} failed`,
    ];
    return `${lines.join('\n')}\n`;
  }
}

function addTo(sums: Map<string, number>, counts: Record<string, number>): void {
  for (const [name, count] of Object.entries(counts)) sums.set(name, (sums.get(name) ?? 0) + count);
}

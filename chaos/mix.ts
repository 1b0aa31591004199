/** Which kinds of disturbances a run may have: all, or those that were chosen, which then happen in most runs. */
import type { Random } from './random.ts';

export const kinds = [
  'failure-points',
  'kill',
  'freeze',
  'hang',
  'answers',
  'odd-answers',
  'strays',
  'states',
  'renderings',
  'kms-clock',
  'database-clock',
  'fast-database-clock',
  'bursts',
  'lacking',
  'odd-key',
  'stale-reads',
  'kill-postgres',
  'restore',
  'black-hole-kms',
  'black-hole-postgres',
  'refresh',
  'guest',
  'wards',
  'planted-key',
  'insistence',
  'throttled-rotation',
  'late-write',
  'dropped-tags',
  'families',
  'grants',
] as const;

export type Kind = (typeof kinds)[number];

/** How likely a chosen kind is. */
const often = 0.8;

/** Those beside which hardly anything else befalls a run. */
const exclusive = ['restore', 'planted-key', 'insistence', 'throttled-rotation', 'late-write', 'dropped-tags'] as const;

/** Those that a few runs might do without, by chance: each has its turn. After them come some runs without a turn. */
const seldom: readonly Kind[] = [
  ...exclusive,
  ...(['kill-postgres', 'black-hole-kms', 'black-hole-postgres', 'database-clock', 'kms-clock'] as const),
  ...(['bursts', 'lacking', 'odd-key', 'renderings', 'states', 'guest', 'restore'] as const),
];
const withoutTurn = 8;

export class Mix {
  readonly #chosen: ReadonlySet<string> | null;

  readonly #without: ReadonlySet<string>;

  #turn: Kind | null = null;

  /** @param chosen empty: all. @param without never happen. @throws for a kind that there is not. */
  constructor(chosen: string[], without: string[]) {
    const unknown = [...chosen, ...without].find((name) => !kinds.some((kind) => kind === name));
    if (unknown !== undefined) throw new Error(`There is no kind ${unknown}, only ${kinds.join(', ')}`);
    this.#chosen = chosen.length === 0 ? null : new Set(chosen);
    this.#without = new Set(without);
  }

  /** The same mix, in which the kind whose turn it is happens for sure, unless kinds were chosen. */
  forRun(run: number): Mix {
    const mix = new Mix([...(this.#chosen ?? [])], [...this.#without]);
    const turn = seldom[run % (seldom.length + withoutTurn)];
    if (this.#chosen === null && turn !== undefined && !this.#without.has(turn)) mix.#turn = turn;
    return mix;
  }

  /** Whether it was chosen by its name. */
  isChosen(kind: Kind): boolean {
    return this.#chosen?.has(kind) === true;
  }

  /** Whether it happens in this run. @param usually its probability where nothing was chosen. */
  has(kind: Kind, random: Random, usually: number): boolean {
    const draw = random.next();
    if (this.#without.has(kind)) return false;
    if (this.#turn === kind) return true;
    if (this.#turn !== null && exclusive.some((other) => other === kind)) return false;
    if (this.#chosen === null) return draw < usually;
    return this.#chosen.has(kind) && draw < Math.max(usually, often);
  }
}

/**
 * Spends KMS's request quotas knowingly: calls wait here rather than be refused there. Each account and Region has its own
 * quota for each operation; each process takes a part of a share of it.
 */
import { isDeepStrictEqual } from 'node:util';
import { type QuotaRule, type Rates, standardQuotas } from '../domain/request-quotas.ts';
import type { Part } from '../domain/token-bucket.ts';
import { toKmsFailure } from './errors.ts';
import { Limit, type Waited } from './limit.ts';
import { currentUrgency } from './urgency.ts';

/** The quotas that one client's calls are held to. */
export type Quotas = {
  /** Waits for the turn of a call. @throws NotSent when the process stops meanwhile. */
  take(operation: string): Promise<void>;
  /** Takes a turn if it has come. @returns whether it is taken. */
  takeAtOnce(operation: string): boolean;
  /** Spreads out calls whose turns came in time, but which something has held up since and lets go all at once. */
  pace(operation: string): Promise<void>;
  /** Gives back a turn that was not used. */
  giveBack(operation: string): void;
  /** Learns from an answer. */
  answered(operation: string, answer: Told): void;
  /** Goes by another rule from now on. What waits, waits by that. */
  follow(rule: QuotaRule): void;
  /** What the calls are held to; null: to nothing, as far as is known. */
  readonly rates: Rates | null;
};

/** A turn that has come. */
export type Turn = { operation: string; quotas: Quotas };

/**
 * What a call to one Region takes of the quotas of another one. Source: AWS KMS developer guide, "Request quotas": ReplicateKey counts as
 * two CreateKey in the Region of the replica, one of them a trial, and UpdatePrimaryRegion in both Regions.
 */
export const turnsElsewhere = {
  ReplicateKey: ['CreateKey', 'CreateKey'],
  UpdatePrimaryRegion: ['UpdatePrimaryRegion'],
};

/** The quotas of the Region that a call is sent to, with those of the one that it concerns too. */
export function alsoHeldTo(sentTo: Quotas, elsewhere: Quotas): Quotas {
  return {
    take: async (operation) => {
      await sentTo.take(operation);
      for (const other of turnsElsewhere[operation as keyof typeof turnsElsewhere] ?? []) await elsewhere.take(other);
    },
    takeAtOnce: (operation) => sentTo.takeAtOnce(operation),
    pace: (operation) => sentTo.pace(operation),
    giveBack: (operation) => sentTo.giveBack(operation),
    answered: (operation, answer) => sentTo.answered(operation, answer),
    follow: (rule) => sentTo.follow(rule),
    rates: sentTo.rates,
  };
}

/** What an answer tells of quotas. `says`: whether the KMS has any; null: it does not say. */
export type Told = { isThrottled: boolean; isDone: boolean; says: 'none' | 'some' | null };

/** Processes that share the quotas. */
export type Fleet = {
  /** Those that may read, this one among them. */
  readers: number;
  /** Those that may write, this one among them. */
  writers: number;
  /** The others may not know of this one yet, and still spend its part. */
  isJoining: boolean;
};

export type LimitFigures = { scope: string; operation: string; perSecond: number; waited: Waited };

/** Which part of its own a process takes until the others have noticed it. */
const joiningPart = 0.1;
/** Milliseconds for which an answer that there are no quotas is believed. */
const noQuotasFor = 5000;

/** The limits of one process, for every account and Region that it calls. */
export class Limiter {
  fleet: Fleet = { readers: 1, writers: 1, isJoining: false };
  readonly #share: number;
  readonly #scopes = new Map<string, Scope>();
  #isStopping = false;

  /** @param share which share of the quotas all processes together take; above 0, up to 1. */
  constructor(share: number) {
    this.#share = share;
  }

  /** @param place the account and Region: whose clients go by the same rates there share them. */
  open(place: string, rule: QuotaRule): Quotas {
    return new HeldCalls((rates) => this.#scope(place, rates), rule);
  }

  /** For the metrics: the operations called so far. */
  figures(): LimitFigures[] {
    return [...this.#scopes].flatMap(([name, scope]) =>
      [...scope.limits].map(([operation, { perSecond, waited }]) => ({ scope: name, operation, perSecond, waited })),
    );
  }

  /** Ends all waits. A call that need not wait still goes out, so that work in hand can be finished. */
  close(): void {
    this.#isStopping = true;
    for (const scope of this.#scopes.values()) scope.close();
  }

  #scope(place: string, rates: Rates): Scope {
    const name = place + differences(rates);
    const scope = this.#scopes.get(name) ?? new Scope(rates, (operation) => this.#part(operation));
    this.#scopes.set(name, scope);
    if (this.#isStopping) scope.close();
    return scope;
  }

  #part(operation: string): Part {
    const { readers, writers, isJoining } = this.fleet;
    const share = this.#share * (isJoining ? joiningPart : 1);
    return { share, processes: /^(Describe|Get|List)/.test(operation) ? readers : writers };
  }
}

/** What rates say otherwise than AWS does, as a part of a name. */
function differences(rates: Rates): string {
  const differing = Object.entries(rates).filter(([operation, rate]) => rate !== standardQuotas[operation]);
  return differing.map(([operation, rate]) => ` ${operation}=${rate}`).join('');
}

/** The limits that are shared. */
class Scope {
  readonly limits = new Map<string, Limit>();
  readonly #rates: Rates;
  readonly #part: (operation: string) => Part;
  isStopping = false;

  constructor(rates: Rates, part: (operation: string) => Part) {
    this.#rates = rates;
    this.#part = part;
  }

  close(): void {
    this.isStopping = true;
    for (const limit of this.limits.values()) limit.close();
  }

  limit(operation: string): Limit | undefined {
    const quota = this.#rates[operation];
    if (quota === undefined) return undefined;
    const limit = this.limits.get(operation) ?? new Limit(quota, () => this.#part(operation));
    this.limits.set(operation, limit);
    return limit;
  }
}

class HeldCalls implements Quotas {
  readonly #scopeOf: (rates: Rates) => Scope;
  #rule: QuotaRule;
  /** null: nothing is held back. */
  #scope: Scope | null;
  /** Until when an answer is believed that there are no quotas; 0: none has said so. */
  #noQuotasUntil = 0;

  constructor(scopeOf: (rates: Rates) => Scope, rule: QuotaRule) {
    this.#scopeOf = scopeOf;
    this.#rule = rule;
    this.#scope = this.#scopeBy(rule);
  }

  get rates(): Rates | null {
    if (this.#rule === 'none') return null;
    if (this.#rule === 'as_told') return this.#noQuotasUntil > 0 ? null : standardQuotas;
    return this.#rule;
  }

  async take(operation: string): Promise<void> {
    if (currentUrgency().usePrepaid(operation)) return;
    for (let scope: Scope | null = null; scope !== this.#scope; ) {
      scope = this.#scope;
      if (performance.now() < this.#noQuotasUntil) return;
      await scope?.limit(operation)?.take(scope.isStopping, this);
    }
  }

  takeAtOnce(operation: string): boolean {
    if (this.#scope === null || performance.now() < this.#noQuotasUntil) return true;
    if (this.#scope.isStopping) return false;
    return this.#scope.limit(operation)?.takeAtOnce() ?? true;
  }

  async pace(operation: string): Promise<void> {
    if (performance.now() < this.#noQuotasUntil) return;
    await this.#scope?.limit(operation)?.pace();
  }

  giveBack(operation: string): void {
    this.#scope?.limit(operation)?.giveBack();
  }

  answered(operation: string, { isThrottled, isDone, says }: Told): void {
    const word = says ?? (isDone ? 'none' : null);
    if (this.#rule === 'as_told' && word === 'some') this.#noQuotasUntil = 0;
    if (this.#rule === 'as_told' && word === 'none') {
      this.#noQuotasUntil = performance.now() + noQuotasFor;
      this.#wake(this.#scope);
    }
    if (isThrottled) this.#scope?.limit(operation)?.slowDown();
  }

  follow(rule: QuotaRule): void {
    if (isDeepStrictEqual(rule, this.#rule)) return;
    const before = this.#scope;
    this.#rule = rule;
    this.#noQuotasUntil = 0;
    this.#scope = this.#scopeBy(rule);
    if (before !== this.#scope) this.#wake(before);
  }

  #scopeBy(rule: QuotaRule): Scope | null {
    return rule === 'none' ? null : this.#scopeOf(rule === 'as_told' ? standardQuotas : rule);
  }

  /** Ends the waits of these calls; others that share the limits wait on. */
  #wake(scope: Scope | null): void {
    for (const limit of scope?.limits.values() ?? []) limit.letGo(this);
  }
}

/** What the local KMS says with each answer: whether it has quotas (`some`, `none`). Others say nothing, and are taken to have none. */
const quotaHeader = 'x-local-kms-quotas';

/** Right after the SDK's retries, so that each attempt counts, and before the signature, which would age. */
export const quotaPosition = { relation: 'after', toMiddleware: 'retryMiddleware', name: 'keywardQuotas' } as const;

/**
 * A middleware that holds a client to the quotas.
 * @param waits whether calls wait for their turn here; a write, whose life must not pass with waiting, has waited before.
 */
export function quotaMiddleware(quotas: Quotas, { waits }: { waits: boolean }) {
  return <Args, Answer extends { response: unknown }>(
    next: (args: Args) => Promise<Answer>,
    context: { commandName?: string },
  ) =>
    async (args: Args): Promise<Answer> => {
      const operation = (context.commandName ?? '').replace(/Command$/, '');
      await (waits ? quotas.take(operation) : quotas.pace(operation));
      try {
        const answer = await next(args);
        quotas.answered(operation, { isThrottled: false, isDone: true, says: wordOfQuotas(answer.response) });
        return answer;
      } catch (error) {
        const { $response } = error as { $response?: unknown };
        // Without an answer nothing was learnt.
        if ($response === undefined) throw error;
        const isThrottled = toKmsFailure(error, operation).kind === 'throttled';
        quotas.answered(operation, { isThrottled, isDone: false, says: wordOfQuotas($response) });
        throw error;
      }
    };
}

function wordOfQuotas(response: unknown): Told['says'] {
  const { headers } = (response ?? {}) as { headers?: Record<string, string> };
  const word = headers?.[quotaHeader];
  return word === 'none' || word === 'some' ? word : null;
}

/**
 * Spends KMS's request quotas knowingly: calls wait here rather than be refused there. Each account and Region has its own
 * quota for each operation; each process takes a part of a share of it.
 */
import { standardQuotas } from '../domain/request-quotas.ts';
import type { Part } from '../domain/token-bucket.ts';
import { toKmsFailure } from './errors.ts';
import { Limit, type Waited } from './limit.ts';
import { currentUrgency } from './urgency.ts';

/** The quotas of one account and Region. */
export type Quotas = {
  /** Waits for the turn of a call. @throws NotSent when the process stops meanwhile. */
  take(operation: string): Promise<void>;
  /** Gives back a turn that was not used. */
  giveBack(operation: string): void;
  /** Learns from an answer. */
  answered(operation: string, told: { isThrottled: boolean; hasNoQuotas: boolean }): void;
};

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

  /** The quotas of one scope: the same for everybody who asks by the same name. */
  scope(name: string): Quotas {
    const scope = this.#scopes.get(name) ?? new Scope((operation) => this.#part(operation));
    this.#scopes.set(name, scope);
    if (this.#isStopping) scope.close();
    return scope;
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

  #part(operation: string): Part {
    const { readers, writers, isJoining } = this.fleet;
    const share = this.#share * (isJoining ? joiningPart : 1);
    return { share, processes: /^(Describe|Get|List)/.test(operation) ? readers : writers };
  }
}

class Scope implements Quotas {
  readonly limits = new Map<string, Limit>();
  readonly #part: (operation: string) => Part;
  #noQuotasUntil = 0;
  #isStopping = false;

  constructor(part: (operation: string) => Part) {
    this.#part = part;
  }

  take(operation: string): Promise<void> {
    if (currentUrgency().usePrepaid(operation) || performance.now() < this.#noQuotasUntil) return Promise.resolve();
    return this.#limit(operation)?.take(this.#isStopping) ?? Promise.resolve();
  }

  giveBack(operation: string): void {
    this.#limit(operation)?.giveBack();
  }

  answered(operation: string, { isThrottled, hasNoQuotas }: { isThrottled: boolean; hasNoQuotas: boolean }): void {
    this.#noQuotasUntil = hasNoQuotas ? performance.now() + noQuotasFor : 0;
    if (hasNoQuotas) for (const limit of this.limits.values()) limit.letGo();
    else if (isThrottled) this.#limit(operation)?.slowDown();
  }

  close(): void {
    this.#isStopping = true;
    for (const limit of this.limits.values()) limit.close();
  }

  #limit(operation: string): Limit | undefined {
    const quota = standardQuotas[operation];
    if (quota === undefined) return undefined;
    const limit = this.limits.get(operation) ?? new Limit(quota, () => this.#part(operation));
    this.limits.set(operation, limit);
    return limit;
  }
}

/** What the local KMS says with each answer while it has no quotas: waiting for them would be for nothing. */
const quotaHeader = 'x-local-kms-quotas';

/** Right after the SDK's retries, so that each attempt counts, and before the signature, which would age. */
export const quotaPosition = { relation: 'after', toMiddleware: 'retryMiddleware', name: 'keywardQuotas' } as const;

/**
 * A middleware that holds a client to the quotas.
 * @param waits whether calls wait here; a write, whose life must not pass with waiting, has waited before.
 */
export function quotaMiddleware(quotas: Quotas, { waits }: { waits: boolean }) {
  return <Args, Answer extends { response: unknown }>(
    next: (args: Args) => Promise<Answer>,
    context: { commandName?: string },
  ) =>
    async (args: Args): Promise<Answer> => {
      const operation = (context.commandName ?? '').replace(/Command$/, '');
      if (waits) await quotas.take(operation);
      try {
        const answer = await next(args);
        quotas.answered(operation, { isThrottled: false, hasNoQuotas: saysNoQuotas(answer.response) });
        return answer;
      } catch (error) {
        const { $response } = error as { $response?: unknown };
        // Without an answer nothing was learnt.
        if ($response === undefined) throw error;
        const isThrottled = toKmsFailure(error, operation).kind === 'throttled';
        quotas.answered(operation, { isThrottled, hasNoQuotas: saysNoQuotas($response) });
        throw error;
      }
    };
}

function saysNoQuotas(response: unknown): boolean {
  const { headers } = (response ?? {}) as { headers?: Record<string, string> };
  return headers?.[quotaHeader] === 'none';
}

/** How a run ends that does not end well. */
import type { components } from '../generated/openapi.ts';

export type Problem = components['schemas']['Problem'];

/** docs/cli.md tells them. */
export const exitCodes = { ok: 0, failed: 1, toDo: 2, usage: 64, interrupted: 130 } as const;

/** Something that a person can do something about. */
export class Failure extends Error {
  readonly exitCode: number;
  /** What to do about it. */
  readonly hint: string | undefined;

  constructor(
    message: string,
    { exitCode = exitCodes.failed as number, hint }: { exitCode?: number; hint?: string } = {},
  ) {
    super(message);
    this.exitCode = exitCode;
    this.hint = hint;
  }
}

/** The command can't be carried out as it was given. */
export function misuse(message: string, hint?: string): Failure {
  return new Failure(message, { exitCode: exitCodes.usage, ...(hint === undefined ? {} : { hint }) });
}

/** The service said no. */
export class Refusal extends Error {
  readonly problem: Problem;
  /** Seconds after which it may be another answer. */
  readonly retryAfter: number | undefined;

  constructor(problem: Problem, retryAfter?: number) {
    super(problem.detail);
    this.problem = problem;
    this.retryAfter = retryAfter;
  }
}

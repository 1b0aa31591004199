/** What can be wrong with a request, in words of the domain. The errors plugin turns these into problem+json. */
import { type InputFault, inputFault, type Violation } from '../domain/values.ts';
import type { KmsFailure } from '../kms/errors.ts';

/** The kinds of problem; each has a page in docs/problems. */
export const problemKinds = {
  'malformed-request': { status: 400, title: 'Malformed request' },
  unauthenticated: { status: 401, title: 'Unauthenticated' },
  forbidden: { status: 403, title: 'Forbidden' },
  'not-found': { status: 404, title: 'Not found' },
  'method-not-allowed': { status: 405, title: 'Method not allowed' },
  conflict: { status: 409, title: 'Conflict' },
  'stale-generation': { status: 412, title: 'Stale generation' },
  'body-too-large': { status: 413, title: 'Body too large' },
  'unsupported-media-type': { status: 415, title: 'Unsupported media type' },
  'idempotency-key-in-use': { status: 409, title: 'Idempotency key in use' },
  'idempotency-key-reused': { status: 422, title: 'Idempotency key reused' },
  'too-many-requests': { status: 429, title: 'Too many requests' },
  'invalid-input': { status: 422, title: 'Invalid input' },
  'refused-by-kms': { status: 422, title: 'Refused by KMS' },
  'internal-error': { status: 500, title: 'Internal error' },
  'temporarily-unavailable': { status: 503, title: 'Temporarily unavailable' },
} as const;

export type ProblemKind = keyof typeof problemKinds;

export type KmsError = { code: string; message: string; operation: string | null };

/** What is wrong with a parameter, by its name. */
export type ParameterFault = Omit<Violation, 'pointer'> & { parameter: string };

/** Anything that ends a request with a problem. `detail` is for the caller's eyes. */
export class ProblemError extends Error {
  readonly kind: ProblemKind;
  readonly errors: InputFault[] | undefined;
  readonly keyId: string | undefined;
  readonly kmsError: KmsError | undefined;
  /** Seconds after which the same request may have another answer. */
  readonly retryAfter: number | undefined;

  constructor(
    kind: ProblemKind,
    detail: string,
    extra: { errors?: (Violation | ParameterFault)[]; keyId?: string; kmsError?: KmsError; retryAfter?: number } = {},
  ) {
    super(detail);
    this.kind = kind;
    this.errors = extra.errors?.map(inputFault);
    this.keyId = extra.keyId;
    this.kmsError = extra.kmsError;
    this.retryAfter = extra.retryAfter;
  }
}

export function keyNotFound(id: string): ProblemError {
  return new ProblemError('not-found', `There is no key with the id ${JSON.stringify(id)}.`);
}

/** @param keyId of the key that it is about, if it is about one. */
export function conflict(detail: string, keyId?: string): ProblemError {
  return new ProblemError('conflict', detail, keyId === undefined ? {} : { keyId });
}

/** A body and what its schema finds wrong with it. */
export type Input = { body: unknown; violations: Violation[] };

/** How many violations are told one by one. */
const mostTold = 1000;

/** @param violations at least one. */
export function invalidInput(violations: Violation[]): ProblemError {
  const count = violations.length === 1 ? 'One rule is' : `${violations.length} rules are`;
  const more: Violation = { pointer: '', code: 'too_many', detail: `And ${violations.length - mostTold} more.` };
  const errors = violations.length > mostTold ? [...violations.slice(0, mostTold), more] : violations;
  return new ProblemError('invalid-input', `${count} broken; nothing was changed.`, { errors });
}

/** @param errors where in the body the cause is, as far as that can be told. */
export function refusedByKms(
  kmsError: KmsError,
  keyId: string,
  aftermath: string,
  errors: Violation[] = [],
): ProblemError {
  const call = kmsError.operation === null ? 'KMS refused' : `KMS refused ${kmsError.operation}`;
  const words = kmsError.message.replace(/[^.!?]$/, '$&.');
  const detail = `${call}: ${kmsError.code}: ${words} ${aftermath}`;
  return new ProblemError('refused-by-kms', detail, { keyId, kmsError, ...(errors.length > 0 ? { errors } : {}) });
}

/** Says why KMS could not be read. */
export function problemOf(failure: KmsFailure, keyId: string): ProblemError {
  const { code, message, operation } = failure;
  switch (failure.kind) {
    case 'not_found':
      return new ProblemError('not-found', `KMS has no key ${JSON.stringify(keyId)}: ${message}`);
    case 'throttled':
    case 'fault':
    case 'credentials':
      return new ProblemError('temporarily-unavailable', `KMS can't be asked now: ${code}: ${message}`);
    case 'conflict':
    case 'denied':
    case 'unpropagated':
    case 'unsupported':
    case 'refused':
      return refusedByKms({ code, message, operation }, keyId, 'Nothing was recorded.');
  }
}

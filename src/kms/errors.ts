/** What the errors of KMS and of the way to it mean for the work in hand. */

import { NotSent } from './permit.ts';

/**
 * - throttled: over a request quota; KMS did nothing.
 * - fault: KMS or the way to it failed; whether a write took effect is unknown unless `certainlyNotDone`.
 * - credentials: KMS doesn't know who asks. The change isn't at fault, and new credentials mend it.
 * - conflict: the key was not in the state that the call needs. It may have changed since it was observed.
 * - denied: the caller may not do this (yet: a right that was just given needs minutes to be known everywhere).
 * - unpropagated: a principal or ARN in the request is not known (yet: a new one needs a while to be seen everywhere).
 * - not_found: there is no such key, for now or for good.
 * - refused: KMS will not do this, however often it is asked.
 */
export type FailureKind =
  | 'throttled'
  | 'fault'
  | 'credentials'
  | 'conflict'
  | 'denied'
  | 'unpropagated'
  | 'not_found'
  | 'refused';

/** A KMS call that failed. `code` and `message` are KMS's own. */
export class KmsFailure extends Error {
  readonly kind: FailureKind;
  readonly code: string;
  readonly operation: string;
  /** True when KMS surely did not carry the call out. */
  readonly certainlyNotDone: boolean;

  constructor(kind: FailureKind, code: string, message: string, operation: string, certainlyNotDone: boolean) {
    super(message);
    this.name = 'KmsFailure';
    this.kind = kind;
    this.code = code;
    this.operation = operation;
    this.certainlyNotDone = certainlyNotDone;
  }
}

const throttling = new Set([
  'ThrottlingException',
  'Throttling',
  'ThrottledException',
  'TooManyRequestsException',
  'RequestLimitExceeded',
  'RequestThrottled',
  'RequestThrottledException',
  'SlowDown',
  'PriorRequestNotComplete',
]);

const credentialTrouble = new Set([
  'CredentialsProviderError',
  'ExpiredToken',
  'ExpiredTokenException',
  'IncompleteSignature',
  'IncompleteSignatureException',
  'InvalidClientTokenId',
  'InvalidSignatureException',
  'MissingAuthenticationToken',
  'MissingAuthenticationTokenException',
  'OptInRequired',
  'RequestExpired',
  'SignatureDoesNotMatch',
  'TokenRefreshRequired',
  'UnrecognizedClientException',
]);

const stateTrouble = new Set(['KMSInvalidStateException', 'DisabledException', 'ConflictException']);

const accessTrouble = new Set(['AccessDenied', 'AccessDeniedException', 'NotAuthorized', 'UnauthorizedOperation']);

/** Node's codes for a connection that never came about: the request was not sent. */
const neverConnected = new Set(['ECONNREFUSED', 'ENOTFOUND', 'EHOSTUNREACH', 'ENETUNREACH', 'EAI_AGAIN']);

const unknownPrincipal = /invalid principals?/i;

/** Reads an error that an SDK call threw. Anything that isn't an answer of KMS is a fault on the way. */
export function toKmsFailure(error: unknown, operation: string): KmsFailure {
  if (error instanceof KmsFailure) return error;
  if (error instanceof NotSent) return new KmsFailure('fault', 'NotSent', error.message, operation, true);
  const { name, message, code, $metadata } = error as {
    name?: string;
    message?: string;
    code?: string;
    $metadata?: { httpStatusCode?: number };
  };
  const status = $metadata?.httpStatusCode;
  const errorCode = name === 'Error' || name === undefined ? (code ?? 'UnknownError') : name;
  const text = message || (code === undefined ? 'no message' : `${code} while calling KMS`);
  const failure = (kind: FailureKind, certainlyNotDone: boolean) =>
    new KmsFailure(kind, errorCode, text, operation, certainlyNotDone);

  if (throttling.has(errorCode)) return failure('throttled', true);
  if (credentialTrouble.has(errorCode)) return failure('credentials', true);
  if (status === undefined) return failure('fault', neverConnected.has(code ?? errorCode));
  if (status >= 500 || status < 400) return failure('fault', false);
  if (stateTrouble.has(errorCode)) return failure('conflict', true);
  if (errorCode === 'NotFoundException') return failure('not_found', true);
  if (accessTrouble.has(errorCode)) return failure('denied', true);
  if (errorCode === 'InvalidArnException') return failure('unpropagated', true);
  if (errorCode === 'MalformedPolicyDocumentException' && unknownPrincipal.test(text)) {
    return failure('unpropagated', true);
  }
  return failure('refused', true);
}

/** Runs an SDK call and turns what it throws into a KmsFailure. */
export async function call<T>(operation: string, run: () => Promise<T>): Promise<T> {
  try {
    return await run();
  } catch (error) {
    throw toKmsFailure(error, operation);
  }
}

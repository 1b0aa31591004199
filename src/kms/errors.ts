/** What the errors of KMS and of the way to it mean for the work in hand. */

import {
  credentialErrors,
  isDocumentedRefusal,
  throttlingErrors,
  unknownOperationErrors,
} from '../domain/documented-errors.ts';
import type { OperationName, ReadName } from '../domain/operations.ts';
import { neverConnected, notKmsAnswer } from './answers.ts';
import { NotSent } from './permit.ts';
import { currentUrgency } from './urgency.ts';

/**
 * - throttled: over a request quota; KMS did nothing.
 * - fault: KMS or the way to it failed; whether a write took effect is unknown unless `certainlyNotDone`.
 * - credentials: KMS doesn't know who asks. The change isn't at fault, and new credentials mend it.
 * - conflict: the key was not in the state that the call needs. It may have changed since it was observed.
 * - denied: the caller may not do this (yet: a right that was just given needs minutes to be known everywhere).
 * - unpropagated: a principal, ARN or alias in the request is not known where it was looked for (yet: a new one needs a while to be
 *   seen everywhere).
 * - not_found: there is no such key, for now or for good.
 * - unsupported: this KMS has no such operation.
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
  | 'unsupported'
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

const throttling = new Set<string>(throttlingErrors);
const credentialTrouble = new Set<string>(credentialErrors);
const unknownOperation = new Set<string>(unknownOperationErrors);
const stateTrouble = new Set(['KMSInvalidStateException', 'DisabledException', 'ConflictException']);
/** What is there may not be seen everywhere yet. */
const unseen = new Set(['AlreadyExistsException', 'InvalidArnException']);

const accessTrouble = new Set(['AccessDenied', 'AccessDeniedException', 'NotAuthorized']);

const unknownPrincipal = /invalid principals?/i;

/** The name of what the credential providers throw: nobody was asked anything. */
const noCredentials = 'CredentialsProviderError';

const longestMessage = 2000;

/**
 * Reads an error that an SDK call threw. Only an error that AWS documents for the operation proves that nothing was done;
 * whatever else comes back is a fault on the way, even where it looks like a refusal.
 */
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
    new KmsFailure(kind, errorCode, storable(text), operation, certainlyNotDone);

  if (errorCode === noCredentials) return failure('credentials', true);
  if (status === undefined) return failure('fault', neverConnected.has(code ?? errorCode));
  if (status === notImplemented && errorCode !== notKmsAnswer) return failure('unsupported', true);
  if (status < 400 || status >= 500 || !isDocumentedRefusal(operation, errorCode)) return failure('fault', false);
  return failure(kindOf(errorCode, text), true);
}

/** HTTP's status for what a server does not know how to do. */
const notImplemented = 501;

function kindOf(errorCode: string, text: string): FailureKind {
  if (throttling.has(errorCode)) return 'throttled';
  if (credentialTrouble.has(errorCode)) return 'credentials';
  if (unknownOperation.has(errorCode)) return 'unsupported';
  if (stateTrouble.has(errorCode)) return 'conflict';
  if (errorCode === 'NotFoundException') return 'not_found';
  if (accessTrouble.has(errorCode)) return 'denied';
  if (unseen.has(errorCode)) return 'unpropagated';
  if (errorCode === 'MalformedPolicyDocumentException' && unknownPrincipal.test(text)) return 'unpropagated';
  return 'refused';
}

/** What PostgreSQL takes, and a person reads. */
function storable(text: string): string {
  return text.replaceAll('\0', ' ').toWellFormed().slice(0, longestMessage);
}

/** An answer without what every answer of KMS to this operation has: it tells neither yes nor no. */
export function unusableAnswer(operation: string, missing: string): KmsFailure {
  return new KmsFailure('fault', 'UnusableAnswer', `${operation} answered without ${missing}`, operation, false);
}

/** How much of an answer is shown of what can't be used. */
const shown = 100;

/** An answer with something in it that nothing can be done with. */
export function unusablePart(operation: string, what: string, text: string): KmsFailure {
  const message = `${operation} answered ${what}: ${JSON.stringify(storable(text.slice(0, shown)))}`;
  return new KmsFailure('fault', 'UnusableAnswer', message, operation, false);
}

type Page = { Truncated?: boolean | undefined; NextMarker?: string | undefined };

/**
 * The marker of a list's next page; null: this was the last.
 * @throws KmsFailure when there is more, and the answer does not say where.
 */
export function nextMarker(operation: string, page: Page): string | null {
  if (page.Truncated === false) return null;
  if (page.NextMarker !== undefined) return page.NextMarker;
  if (page.Truncated) throw unusableAnswer(operation, 'NextMarker');
  return null;
}

/** More pages than any list of KMS has. */
const mostPages = 10_000;

/**
 * Holds that a list ends: one whose markers come back, or never cease, would be read for ever.
 * @returns a function that hands each marker on. It throws KmsFailure.
 */
export function endingList(operation: string, most = mostPages): (next: string | null) => string | null {
  const given = new Set<string>();
  return (next) => {
    if (next === null) return null;
    if (given.has(next)) throw unusablePart(operation, 'a marker that it had given before', next);
    if (given.size >= most) throw unusablePart(operation, `more than ${most} pages, and a further marker`, next);
    given.add(next);
    return next;
  };
}

/** What has its place in the table of operations, or is none of KMS's. */
type CalledOperation = OperationName | ReadName | 'GetCallerIdentity' | 'GetResources';

/** Runs an SDK call and turns what it throws into a KmsFailure. */
export async function call<T>(operation: CalledOperation, run: () => Promise<T>): Promise<T> {
  try {
    return await run();
  } catch (error) {
    throw toKmsFailure(error, operation);
  } finally {
    currentUrgency().gotOn();
  }
}

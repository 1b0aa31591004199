/** Faults on purpose, off unless asked for through the control endpoint: which there are, and whom they befall. */
import { KmsError } from './errors.ts';
import { throttling } from './quotas.ts';

export const faultKinds = [
  'throttle',
  'internal_error',
  'error',
  'unknown_error',
  'unsupported',
  'reset_before_effect',
  'reset_after_effect',
  'no_answer_before_effect',
  'no_answer_after_effect',
  'html',
  'truncated',
  'dropped_field',
  'changed_field',
  'stalled',
  'oversized',
] as const;

export type FaultKind = (typeof faultKinds)[number];

export type Fault = {
  /** A KMS operation, or `*` for all. */
  operation: string;
  /** Only calls that name this key, by its id; null: all. */
  key_id: string | null;
  kind: FaultKind;
  /** How often it still happens; null: until it is taken away. */
  times: number | null;
  /** For how long it happens, from when it was asked for; null: until it is taken away. */
  seconds: number | null;
  /** Whether the operation is carried out all the same. */
  carried_out: boolean;
  /** HTTP status of `html` and `unknown_error`. */
  status?: number;
  /** Code and words of the errors. */
  type?: string;
  message?: string;
  /** What `dropped_field` leaves out and `changed_field` changes, such as KeyMetadata.KeyState. */
  member?: string;
  /** What `changed_field` puts there. */
  value?: unknown;
  /** Which length the head of a `truncated` answer tells. */
  told_length?: 'whole' | 'part';
  /** Length of an `oversized` answer; null: it has no end. */
  bytes?: number | null;
};

type Placed = Fault & { fired: number; until: number };

export class Faults {
  #faults: Placed[] = [];

  add(faults: Fault[]): void {
    const now = performance.now();
    const until = ({ seconds }: Fault) => (seconds === null ? Number.POSITIVE_INFINITY : now + seconds * 1000);
    this.#faults.push(...faults.map((fault) => ({ ...fault, fired: 0, until: until(fault) })));
  }

  list(): (Fault & { fired: number })[] {
    return this.#faults.map(({ until: _, ...fault }) => fault);
  }

  clear(): void {
    this.#faults = [];
  }

  /** The fault that befalls this call, if any; it counts as fired. @param key what the call names as its key: id or ARN. */
  draw(operation: string, key: string | null): Fault | undefined {
    const now = performance.now();
    const fault = this.#faults.find(
      (candidate) =>
        (candidate.operation === operation || candidate.operation === '*') &&
        (candidate.key_id === null || candidate.key_id === key?.replace(/^.*:key\//, '')) &&
        (candidate.times === null || candidate.fired < candidate.times) &&
        candidate.until > now,
    );
    if (fault !== undefined) fault.fired += 1;
    return fault;
  }
}

/** The answer of a fault that is an error of KMS's, or looks like one. */
export function errorOf({ kind, type, message, status }: Fault): KmsError | undefined {
  switch (kind) {
    case 'throttle':
      return throttling();
    case 'internal_error':
      return new KmsError('KMSInternalException', 'An internal error occurred.', 500);
    case 'error':
      return asked(type ?? 'ValidationException', message ?? 'An error on purpose.');
    case 'unknown_error':
      return new KmsError(type ?? 'RequestBlockedException', message ?? 'Blocked on purpose.', status ?? 400);
    case 'unsupported':
      return missing(type ?? 'InternalFailure', message ?? 'The operation is not included in this KMS.');
    default:
      return undefined;
  }
}

/** Every error is HTTP 400 but for KMS's own faults. Source: AWS KMS API reference, the errors of each operation. */
const ownFaults = new Set(['KMSInternalException', 'DependencyTimeoutException', 'KeyUnavailableException']);

function asked(type: string, message: string): KmsError {
  return new KmsError(type, message, ownFaults.has(type) ? 500 : 400);
}

/** As emulators say that they lack an operation: LocalStack with 501, others with HTTP 400. */
function missing(type: string, message: string): KmsError {
  return new KmsError(type, message, type === 'InternalFailure' ? 501 : 400);
}

/** Kinds that happen on the way back of a call that was carried out, unless something else is said. */
const usuallyCarriedOut: readonly FaultKind[] = ['truncated', 'dropped_field', 'changed_field', 'stalled', 'oversized'];

/**
 * A fault as it is asked for.
 * @throws KmsError BadRequest for what is not understood.
 */
export function readFault(given: unknown): Fault {
  const { operation = '*', kind, times = 1, seconds = null, ...rest } = (given ?? {}) as Record<string, unknown>;
  const known = faultKinds.find((candidate) => candidate === kind);
  if (known === undefined) throw new KmsError('BadRequest', `kind must be one of ${faultKinds.join(', ')}`);
  if (known.endsWith('_field') && typeof rest['member'] !== 'string') {
    throw new KmsError('BadRequest', `${known} needs a member, such as KeyMetadata.KeyState`);
  }
  return {
    operation: String(operation),
    key_id: typeof rest['key_id'] === 'string' ? rest['key_id'] : null,
    kind: known,
    times: times === null ? null : Number(times),
    seconds: seconds === null ? null : Number(seconds),
    carried_out: isCarriedOut(known, rest['carried_out']),
    ...(rest['bytes'] === null ? { bytes: null } : {}),
    ...(rest['value'] === undefined ? {} : { value: rest['value'] }),
    ...ofType(rest, 'string', ['type', 'message', 'member', 'told_length']),
    ...ofType(rest, 'number', ['status', 'bytes']),
  };
}

function isCarriedOut(kind: FaultKind, given: unknown): boolean {
  if (kind.endsWith('_effect')) return kind.endsWith('after_effect');
  return typeof given === 'boolean' ? given : usuallyCarriedOut.includes(kind);
}

function ofType(given: Record<string, unknown>, type: 'string' | 'number', names: string[]): Partial<Fault> {
  return Object.fromEntries(names.filter((name) => typeof given[name] === type).map((name) => [name, given[name]]));
}

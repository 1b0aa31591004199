/** Faults on purpose, off unless asked for through the control endpoint. */
import { KmsError } from './errors.ts';
import { throttling } from './quotas.ts';

export const faultKinds = [
  'throttle',
  'internal_error',
  'error',
  'reset_before_effect',
  'reset_after_effect',
  'no_answer_before_effect',
  'no_answer_after_effect',
] as const;

export type Fault = {
  /** A KMS operation, or `*` for all. */
  operation: string;
  kind: (typeof faultKinds)[number];
  /** How often it still happens; null: until it is taken away. */
  times: number | null;
  /** For the kind `error`. */
  type?: string;
  message?: string;
};

export class Faults {
  #faults: (Fault & { fired: number })[] = [];

  add(faults: Fault[]): void {
    this.#faults.push(...faults.map((fault) => ({ ...fault, fired: 0 })));
  }

  list(): (Fault & { fired: number })[] {
    return this.#faults;
  }

  clear(): void {
    this.#faults = [];
  }

  /** The fault that befalls this call, if any; it counts as fired. */
  draw(operation: string): Fault | undefined {
    const fault = this.#faults.find(
      (candidate) =>
        (candidate.operation === operation || candidate.operation === '*') &&
        (candidate.times === null || candidate.fired < candidate.times),
    );
    if (fault !== undefined) fault.fired += 1;
    return fault;
  }
}

/** The answer of a fault that is one. */
export function errorOf(fault: Fault): KmsError | undefined {
  switch (fault.kind) {
    case 'throttle':
      return throttling();
    case 'internal_error':
      return new KmsError('KMSInternalException', 'An internal error occurred.', 500);
    case 'error':
      return asked(fault.type ?? 'ValidationException', fault.message ?? 'An error on purpose.');
    default:
      return undefined;
  }
}

/** Every error is HTTP 400 but for KMS's own faults. Source: AWS KMS API reference, the errors of each operation. */
const ownFaults = new Set(['KMSInternalException', 'DependencyTimeoutException', 'KeyUnavailableException']);

function asked(type: string, message: string): KmsError {
  return new KmsError(type, message, ownFaults.has(type) ? 500 : 400);
}

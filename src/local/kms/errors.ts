/** The errors of KMS, with its words. */

/** An error as the JSON 1.1 protocol carries it. Every one is HTTP 400 but for KMS's own faults. */
export class KmsError extends Error {
  readonly type: string;
  readonly status: number;

  constructor(type: string, message: string, status = 400) {
    super(message);
    this.type = type;
    this.status = status;
  }
}

export const notFound = (message: string) => new KmsError('NotFoundException', message);
export const invalidState = (message: string) => new KmsError('KMSInvalidStateException', message);
export const unsupported = (message: string) => new KmsError('UnsupportedOperationException', message);
export const tagError = (message: string) => new KmsError('TagException', message);
export const malformedPolicy = (message: string) => new KmsError('MalformedPolicyDocumentException', message);
export const limitExceeded = (message: string) => new KmsError('LimitExceededException', message);
export const validation = (message: string) => new KmsError('ValidationException', message);

/** A value that breaks a constraint of the API's model, in the words of AWS's own validation. */
export function constraint(value: unknown, member: string, rule: string): KmsError {
  const shown = value === null || value === undefined ? 'Value null' : `Value '${String(value)}'`;
  return validation(
    `1 validation error detected: ${shown} at '${member}' failed to satisfy constraint: Member must ${rule}`,
  );
}

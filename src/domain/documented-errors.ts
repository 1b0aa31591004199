/**
 * The errors that AWS documents for each operation as a refusal: who gets one knows that nothing was done. What is not here
 * proves nothing. Sources: AWS KMS, STS and Resource Groups Tagging API references, "Errors" of each operation and
 * "Common errors". KMS's own faults (KMSInternalException, DependencyTimeoutException) are left out on purpose, and so are
 * RequestTimeoutException and RequestAbortedException, after which a call may have been carried out.
 */
import { operationTable, readTable } from './operations.ts';

/** Over a quota. */
export const throttlingErrors = ['Throttling', 'ThrottlingException', 'ThrottledException'] as const;

/** KMS does not know who asks, or when. */
export const credentialErrors = [
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
  'UnrecognizedClientException',
] as const;

/** There is no such operation. */
export const unknownOperationErrors = ['InvalidAction', 'UnknownOperationException'] as const;

const common: readonly string[] = [
  ...throttlingErrors,
  ...credentialErrors,
  ...unknownOperationErrors,
  'AccessDenied',
  'AccessDeniedException',
  'MalformedHttpRequestException',
  'NotAuthorized',
  'RequestEntityTooLargeException',
  'SerializationException',
  'ValidationError',
  'ValidationException',
];

/** By operation, without those that are common to all. */
export const documentedErrors: Readonly<Record<string, readonly string[]>> = {
  GetResources: ['InvalidParameterException', 'PaginationTokenExpiredException'],
  GetCallerIdentity: [],
  ...Object.fromEntries(
    Object.entries({ ...operationTable, ...readTable }).map(([operation, { errors }]) => [operation, errors]),
  ),
};

/** Whether AWS documents that it refuses the operation with this error, so that nothing was done. */
export function isDocumentedRefusal(operation: string, code: string): boolean {
  return common.includes(code) || (documentedErrors[operation]?.includes(code) ?? false);
}

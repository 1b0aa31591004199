/**
 * The errors that AWS documents for each operation as a refusal: who gets one knows that nothing was done. What is not here
 * proves nothing. Sources: AWS KMS, STS and Resource Groups Tagging API references, "Errors" of each operation and
 * "Common errors". KMS's own faults (KMSInternalException, DependencyTimeoutException) are left out on purpose, and so are
 * RequestTimeoutException and RequestAbortedException, after which a call may have been carried out.
 */

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

const noSuchKey = ['InvalidArnException', 'NotFoundException'];
const keyAndState = [...noSuchKey, 'KMSInvalidStateException'];
const rotationChange = [...keyAndState, 'DisabledException', 'UnsupportedOperationException'];

/** By operation, without those that are common to all. */
export const documentedErrors: Readonly<Record<string, readonly string[]>> = {
  CancelKeyDeletion: keyAndState,
  CreateAlias: [
    'AlreadyExistsException',
    'InvalidAliasNameException',
    'KMSInvalidStateException',
    'LimitExceededException',
    'NotFoundException',
  ],
  CreateKey: [
    'CloudHsmClusterInvalidConfigurationException',
    'CustomKeyStoreInvalidStateException',
    'CustomKeyStoreNotFoundException',
    'InvalidArnException',
    'LimitExceededException',
    'MalformedPolicyDocumentException',
    'TagException',
    'UnsupportedOperationException',
    'XksKeyAlreadyInUseException',
    'XksKeyInvalidConfigurationException',
    'XksKeyNotFoundException',
  ],
  DeleteAlias: ['KMSInvalidStateException', 'NotFoundException'],
  DescribeKey: noSuchKey,
  DisableKey: keyAndState,
  DisableKeyRotation: rotationChange,
  EnableKey: [...keyAndState, 'LimitExceededException'],
  EnableKeyRotation: rotationChange,
  GetKeyPolicy: keyAndState,
  GetKeyRotationStatus: [...keyAndState, 'UnsupportedOperationException'],
  ListAliases: [...noSuchKey, 'InvalidMarkerException'],
  ListKeyRotations: [...keyAndState, 'InvalidMarkerException', 'UnsupportedOperationException'],
  ListKeys: ['InvalidMarkerException'],
  ListResourceTags: [...noSuchKey, 'InvalidMarkerException'],
  PutKeyPolicy: [
    ...keyAndState,
    'LimitExceededException',
    'MalformedPolicyDocumentException',
    'UnsupportedOperationException',
  ],
  ReplicateKey: [
    ...keyAndState,
    'AlreadyExistsException',
    'DisabledException',
    'LimitExceededException',
    'MalformedPolicyDocumentException',
    'TagException',
    'UnsupportedOperationException',
  ],
  RotateKeyOnDemand: [...rotationChange, 'ConflictException', 'LimitExceededException'],
  ScheduleKeyDeletion: keyAndState,
  TagResource: [...keyAndState, 'LimitExceededException', 'TagException'],
  UntagResource: [...keyAndState, 'TagException'],
  UpdateAlias: ['KMSInvalidStateException', 'LimitExceededException', 'NotFoundException'],
  UpdateKeyDescription: keyAndState,
  UpdatePrimaryRegion: rotationChange,
  GetResources: ['InvalidParameterException', 'PaginationTokenExpiredException'],
  GetCallerIdentity: [],
};

/** Whether AWS documents that it refuses the operation with this error, so that nothing was done. */
export function isDocumentedRefusal(operation: string, code: string): boolean {
  return common.includes(code) || (documentedErrors[operation]?.includes(code) ?? false);
}

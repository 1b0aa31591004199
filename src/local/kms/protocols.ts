/** How requests and answers are written: AWS's JSON 1.1 for KMS and tagging, and its query protocol for STS. */
import { randomUUID } from 'node:crypto';
import type { IncomingHttpHeaders } from 'node:http';
import { KmsError } from './errors.ts';
import type { Parameters } from './parameters.ts';

export type Protocol = {
  type: string;
  /** The operation that is asked for (empty: none) and its parameters. @throws KmsError SerializationException */
  read(headers: IncomingHttpHeaders, body: string): { operation: string; parameters: Parameters };
  write(operation: string, answer: object): string;
  /** An error as the protocol's services call it. */
  error(error: KmsError): KmsError;
  writeError(error: KmsError): string;
};

export function parseJson(body: string): unknown {
  try {
    return JSON.parse(body);
  } catch {
    throw new KmsError('SerializationException', 'The body is not valid JSON');
  }
}

const target = /^(?:TrentService|ResourceGroupsTaggingAPI_20170126)\.(\w+)$/;

export const jsonProtocol: Protocol = {
  type: 'application/x-amz-json-1.1',
  read: (headers, body) => {
    const operation = target.exec(String(headers['x-amz-target']))?.[1] ?? '';
    const value = body === '' ? {} : parseJson(body);
    if (value === null || typeof value !== 'object' || Array.isArray(value)) {
      throw new KmsError('SerializationException', 'The body is not a JSON object');
    }
    return { operation, parameters: value as Parameters };
  },
  write: (_operation, answer) => JSON.stringify(answer),
  error: (error) => error,
  writeError: ({ type, message }) => JSON.stringify({ __type: type, message }),
};

const namespace = 'https://sts.amazonaws.com/doc/2011-06-15/';

/** What STS calls errors that KMS has too, and their status. Source: IAM and STS API reference, "Common errors". */
const queryErrors: Record<string, [type: string, status: number]> = {
  AccessDeniedException: ['AccessDenied', 403],
  ExpiredTokenException: ['ExpiredToken', 403],
  InvalidSignatureException: ['SignatureDoesNotMatch', 403],
  KMSInternalException: ['InternalFailure', 500],
  MissingAuthenticationTokenException: ['MissingAuthenticationToken', 403],
  SerializationException: ['MalformedInput', 400],
  ThrottlingException: ['Throttling', 400],
  UnknownOperationException: ['InvalidAction', 400],
  UnrecognizedClientException: ['InvalidClientTokenId', 403],
  ValidationException: ['ValidationError', 400],
};

export const queryProtocol: Protocol = {
  type: 'text/xml',
  read: (_headers, body) => {
    const { Action: operation = '', ...parameters } = Object.fromEntries(new URLSearchParams(body));
    return { operation, parameters };
  },
  write: (operation, answer) => {
    const metadata = { ResponseMetadata: { RequestId: randomUUID() } };
    return document(`${operation}Response`, { [`${operation}Result`]: answer, ...metadata });
  },
  error: (error) => {
    const [type, status] = queryErrors[error.type] ?? [error.type, error.status];
    return new KmsError(type, error.message, status);
  },
  writeError: ({ type: Code, message: Message, status }) => {
    const Type = status >= 500 ? 'Receiver' : 'Sender';
    return document('ErrorResponse', { Error: { Type, Code, Message }, RequestId: randomUUID() });
  },
};

function document(name: string, content: object): string {
  return `<${name} xmlns="${namespace}">${elements(content)}</${name}>`;
}

function elements(content: object): string {
  return Object.entries(content)
    .map(([name, value]) => {
      const inner = value !== null && typeof value === 'object' ? elements(value) : escaped(String(value));
      return `<${name}>${inner}</${name}>`;
    })
    .join('');
}

function escaped(text: string): string {
  return text.replaceAll(/[&<>"]/g, (character) => `&#${character.charCodeAt(0)};`);
}

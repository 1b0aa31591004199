/** The headers that answers have whatever the operation is, each written once in the OpenAPI document. */
import type { OpenAPIV3_1 } from 'openapi-types';

type Header = OpenAPIV3_1.HeaderObject;
type References = Record<string, OpenAPIV3_1.ReferenceObject>;

const text = (description: string, example: string): Header => ({ description, schema: { type: 'string' }, example });

const headers = {
  'X-Request-Id': {
    description: 'Of the request, in the log and in the history too: the one that it came with, or a new one.',
    schema: { type: 'string', minLength: 1, maxLength: 128 },
    example: '3f0c7a52-6d0e-4f43-9a55-0d6f0f7a7c11',
  },
  'Retry-After': {
    description: 'Seconds after which the same request may have another answer.',
    schema: { type: 'integer', minimum: 0 },
    example: 5,
  },
  Allow: text('The methods that the path takes.', 'GET, HEAD, OPTIONS'),
  'WWW-Authenticate': text('How to say who asks.', 'Bearer'),
  'Accept-Encoding': text('How a body may be encoded: not at all.', 'identity'),
  'Idempotent-Replayed': text('true: the answer of an earlier request with this Idempotency-Key.', 'true'),
  'Preference-Applied': text('What of Prefer was applied.', 'wait=20'),
  RateLimit: text('What is left of the limit: draft-ietf-httpapi-ratelimit-headers.', '"writes";r=599;t=60'),
  'RateLimit-Policy': text('How many requests of a kind a caller has in how many seconds.', '"writes";q=600;w=60'),
  Deprecation: text('Since when the operation is deprecated: RFC 9745.', '@1798761600'),
  Sunset: text('From when on it may be gone: RFC 8594.', 'Thu, 01 Jul 2027 00:00:00 GMT'),
} as const satisfies Record<string, Header>;

type Name = keyof typeof headers;

/** Of a caller that is known. */
const limits: Name[] = ['RateLimit', 'RateLimit-Policy'];
/** Of a request that was begun. */
const begun: Name[] = ['Preference-Applied', 'Idempotent-Replayed', ...limits];

/** What the problems of a status have beside X-Request-Id, which all answers have. */
const ofProblems: Record<number, Name[]> = {
  400: begun,
  401: ['WWW-Authenticate'],
  403: limits,
  404: begun,
  405: ['Allow'],
  409: ['Retry-After', ...begun],
  412: begun,
  413: limits,
  415: ['Accept-Encoding', ...limits],
  422: begun,
  429: ['Retry-After', ...limits],
  500: begun,
  503: ['Retry-After', ...begun],
};

function references(names: Name[]): References {
  return Object.fromEntries(names.map((name) => [name, { $ref: `#/components/headers/${name}` }]));
}

export function headersOfProblem(status: number, isAnyDeprecated: boolean): References {
  const end: Name[] = isAnyDeprecated ? ['Deprecation', 'Sunset'] : [];
  return references(['X-Request-Id', ...(ofProblems[status] ?? []), ...end]);
}

/** What the answers of an operation have, beside its own. */
export function headersOfAnswer({ parameters = [], security, deprecated }: OpenAPIV3_1.OperationObject): References {
  const names = parameters.map((parameter) => ('name' in parameter ? parameter.name.toLowerCase() : ''));
  const takes = (name: string) => names.includes(name);
  return references([
    ...(takes('idempotency-key') ? (['Idempotent-Replayed'] as const) : []),
    ...(takes('prefer') ? (['Preference-Applied'] as const) : []),
    ...(security?.length === 0 ? [] : limits),
    ...(deprecated ? (['Deprecation', 'Sunset'] as const) : []),
    'X-Request-Id',
  ]);
}

/** Those of the document that are referred to. */
export function usedHeaders(document: unknown): Record<string, Header> {
  const used = JSON.stringify(document);
  return Object.fromEntries(
    Object.entries(headers).filter(([name]) => used.includes(`"#/components/headers/${name}"`)),
  );
}

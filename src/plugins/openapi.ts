/**
 * What the OpenAPI document says beside the schemas of the routes: what is true of every operation is written once, so that
 * generated clients get one type for it.
 */
import type { OpenAPIV3_1 } from 'openapi-types';
import { commaSeparated } from '../schemas/common.ts';
import { answerExamples, bodyExamples, parameterExamples, problemExamples } from '../schemas/examples.ts';
import { headersOfAnswer, headersOfProblem, usedHeaders } from './openapi-headers.ts';
import { link } from './openapi-links.ts';

type Document = OpenAPIV3_1.Document;
type Operation = OpenAPIV3_1.OperationObject;
type Response = OpenAPIV3_1.ResponseObject;
type Reference = OpenAPIV3_1.ReferenceObject;
type Schemas = Record<string, OpenAPIV3_1.SchemaObject>;
type Media = OpenAPIV3_1.MediaTypeObject;

/** Problems by status: the name of the answer, and what it says. */
const problemAnswers: Record<number, [name: string, description: string]> = {
  400: ['BadRequest', 'The request is malformed; `errors` names the parameters.'],
  401: ['Unauthorized', 'The request says not, or not rightly, who asks.'],
  403: ['Forbidden', 'The caller may not do this.'],
  404: ['NotFound', 'There is no such thing, or the caller may not know of it.'],
  405: [
    'MethodNotAllowed',
    'The path takes other methods: Allow lists them. Whoever calls this operation never gets it.',
  ],
  408: ['RequestTimeout', 'The request took too long to arrive.'],
  409: ['Conflict', 'The request is at odds with the state of what it is about, or a request with the same key runs.'],
  412: [
    'PreconditionFailed',
    'If-Match names a version that is no longer the current one, or If-None-Match one that is. Nothing was changed.',
  ],
  413: ['ContentTooLarge', 'The body is too large: it has more than 512 KiB, or, of lines, 16 MiB or 5000 lines.'],
  415: ['UnsupportedMediaType', 'The body is of a media type, or compressed, as is not taken here.'],
  422: [
    'UnprocessableContent',
    'The input breaks a rule, or KMS refused it. Nothing was changed; `errors` says where.',
  ],
  429: ['TooManyRequests', 'The caller asks too often.'],
  431: ['HeaderFieldsTooLarge', 'The headers have more than 16 KiB.'],
  500: ['InternalServerError', 'An error in Keyward; its log tells more under the request id.'],
  503: ['ServiceUnavailable', 'PostgreSQL or KMS is away, and nothing was recorded.'],
};

/** What any request can get, whatever it asks for. */
const always = [400, 405, 408, 431];

/** Completes the document that was made of the routes' schemas. */
export function complete(document: Document): Document {
  const used = new Set<number>();
  const { schemas = {}, ...rest } = document.components ?? {};
  const operations = operationsOf(document);
  const links = link(operations);
  for (const { method, operation, route } of operations) {
    if (method === 'get' && route.startsWith('/v1/')) declareTag(operation);
    declareProblems(operation, method);
    completeOperation(operation, schemas, used);
  }
  const isAnyDeprecated = operations.some(({ operation }) => operation.deprecated);
  const problems = [...used].sort().map((status) => [nameOf(status), problemAnswer(status, isAnyDeprecated)]);
  const responses: Record<string, Response> = Object.fromEntries(problems);
  return {
    ...document,
    components: {
      ...rest,
      schemas: Object.fromEntries(Object.entries(schemas).sort(([one], [other]) => one.localeCompare(other))),
      responses,
      headers: usedHeaders([document.paths, responses]),
      links,
    },
  };
}

function operationsOf({ paths = {} }: Document): { route: string; method: string; operation: Operation }[] {
  return Object.entries(paths).flatMap(([route, methods]) =>
    Object.entries(methods ?? {}).map(([method, operation]) => ({ route, method, operation: operation as Operation })),
  );
}

const contentTag = {
  description: 'Moves with the content of the answer.',
  schema: { type: 'string' },
  example: 'W/"kq3BvC0dR5m1yNq7s8fZ2A"',
} as const;
const ifNoneMatch: OpenAPIV3_1.ParameterObject = {
  in: 'header',
  name: 'if-none-match',
  required: false,
  description: 'An ETag; 304 while it is current.',
  schema: { type: 'string' },
};

/** plugins/idempotency.ts sees to it: what is wrong with a body comes with what is wrong with headers. */
const idempotencyKey = { type: 'string', minLength: 1, maxLength: 255, pattern: '^[!-~]+$' } as const;

/** What plugins/caching.ts does for answers that have no tag of their own. */
function declareTag(operation: Operation): void {
  const answer = operation.responses?.['200'] as Response | undefined;
  // What comes as it is read has no tag before its end.
  if (answer?.content?.['application/json'] === undefined || answer.headers?.['ETag'] !== undefined) return;
  operation.parameters = [...(operation.parameters ?? []), { ...ifNoneMatch }] as typeof operation.parameters & object;
  operation.responses = {
    ...operation.responses,
    200: { ...answer, headers: { ...answer.headers, ETag: contentTag } },
    304: { description: 'The answer is as the ETag says.', headers: { ETag: contentTag } },
  };
}

/** The problems that come of a body, of a key for idempotency and of a condition, whatever the route says. */
function declareProblems(operation: Operation, method: string): void {
  const names = ((operation.parameters ?? []) as OpenAPIV3_1.ParameterObject[]).map(({ name }) => name);
  const statuses = [
    ...always,
    ...(method === 'get' ? [] : [413, 415]),
    ...(names.includes('idempotency-key') ? [409, 422] : []),
    ...(names.includes('if-match') ? [412] : []),
  ];
  const missing = statuses.filter((status) => operation.responses?.[status] === undefined);
  const problems = missing.map((status) => [status, { description: '', content: { 'application/problem+json': {} } }]);
  operation.responses = { ...operation.responses, ...Object.fromEntries(problems) };
}

function completeOperation(operation: Operation, schemas: Schemas, used: Set<number>): void {
  const parameters = (operation.parameters ?? []) as OpenAPIV3_1.ParameterObject[];
  for (const parameter of parameters) {
    const example = parameterExamples[parameter.name];
    if (example !== undefined) parameter.example = example;
    const { description } = schemas[nameIn(parameter.schema)] ?? {};
    if (parameter.name === 'idempotency-key') parameter.schema = idempotencyKey;
    if (commaSeparated.has(parameter.name)) Object.assign(parameter, { style: 'form', explode: false });
    if (parameter.description === undefined && description !== undefined) parameter.description = description;
    if (parameter.in === 'header') parameter.name = headerName(parameter.name);
  }
  const { content } = (operation.requestBody ?? {}) as OpenAPIV3_1.RequestBodyObject;
  for (const media of Object.values(content ?? {})) illustrate(media, bodyExamples, operation.operationId);
  const entries = Object.entries(operation.responses ?? {}) as [string, Response][];
  const answers = entries.map(([status, answer]): [string, Response | Reference] => {
    if (answer.content?.['application/problem+json'] === undefined) {
      return [status, completeAnswer(answer, operation)];
    }
    used.add(Number(status));
    return [status, { $ref: `#/components/responses/${nameOf(Number(status))}` }];
  });
  operation.responses = Object.fromEntries(answers.sort(([one], [other]) => one.localeCompare(other)));
}

/** As RFCs write it; validation knows headers in small letters, as they arrive. */
function headerName(name: string): string {
  return name.replaceAll(/(?<=^|-)[a-z]/g, (letter) => letter.toUpperCase());
}

function completeAnswer(answer: Response, operation: Operation): Response {
  for (const media of Object.values(answer.content ?? {})) illustrate(media, answerExamples, operation.operationId);
  return { ...answer, headers: { ...answer.headers, ...headersOfAnswer(operation) } };
}

/** An operation's own example, or that of the schema. */
function illustrate(media: Media, examples: Record<string, unknown>, operationId = ''): void {
  const example = examples[operationId] ?? examples[nameIn(media.schema)];
  if (example !== undefined) media.example = example;
}

/** The name of the schema that is referred to. */
function nameIn(schema: unknown): string {
  const { $ref = '' } = (schema ?? {}) as { $ref?: string };
  return $ref.slice('#/components/schemas/'.length);
}

function problemAnswer(status: number, isAnyDeprecated: boolean): Response {
  const [, description = 'Error.'] = problemAnswers[status] ?? [];
  const example = problemExamples[status];
  return {
    description,
    headers: headersOfProblem(status, isAnyDeprecated),
    content: {
      'application/problem+json': {
        schema: { $ref: '#/components/schemas/Problem' },
        ...(example === undefined ? {} : { example }),
      },
    },
  };
}

function nameOf(status: number): string {
  return problemAnswers[status]?.[0] ?? `Problem${status}`;
}

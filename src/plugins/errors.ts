/** Every error leaves as RFC 9457 problem+json. */
import { randomUUID } from 'node:crypto';
import type { Socket } from 'node:net';
import type { FastifyError, FastifyReply, FastifyRequest } from 'fastify';
import fp from 'fastify-plugin';
import type { Static } from 'typebox';
import { isAliasDeclaredTwice, isDatabaseAway, isDatabaseBusy } from '../database/client.ts';
import { withoutCredentials } from '../domain/credentials.ts';
import type { Problem } from '../schemas/common.ts';
import { conflict, ProblemError, type ProblemKind, problemKinds } from '../services/problems.ts';
import { badParameters } from './parameters.ts';
import { addressOf, pathOf, reachedAt } from './requests.ts';
import { parameterFaults } from './validation.ts';

/** Seconds after which it makes sense to try again. */
const retryAfter = 5;

/** A connection can break while the database commits: then nobody knows, and it would be wrong to say otherwise. */
const databaseAway =
  'The database is away. Nothing was recorded, unless its answer was lost at the very end: look before trying again.';

const databaseBusy =
  'There are more requests than Keyward can carry out at once. Nothing was recorded: try again later.';

declare module 'fastify' {
  interface FastifyRequest {
    /** Set once the request has failed. */
    problem: ProblemKind | null;
  }
}

const kindsByStatus: Record<number, ProblemKind> = {
  400: 'malformed-request',
  404: 'not-found',
  405: 'method-not-allowed',
  413: 'body-too-large',
  415: 'unsupported-media-type',
};

export default fp(
  async (app) => {
    app.decorateRequest('problem', null);
    app.setErrorHandler<FastifyError>((error, request, reply) => {
      const problem = toProblem(error, request);
      request.problem = problem.kind;
      if (problemKinds[problem.kind].status >= 500) request.log.error({ err: error }, 'request failed');
      return sendProblem(request, reply, problem);
    });
  },
  { name: 'errors' },
);

/** Answers with a problem. */
export function sendProblem(request: FastifyRequest, reply: FastifyReply, problem: ProblemError): FastifyReply {
  const { status } = problemKinds[problem.kind];
  const seconds = problem.retryAfter ?? (status === 503 ? retryAfter : undefined);
  if (seconds !== undefined) reply.header('retry-after', seconds);
  return (
    reply
      .code(status)
      .header('x-request-id', request.id)
      .type('application/problem+json')
      // Not by its schema: Fastify would answer in its own words where a problem lacks something.
      .serializer((shown: object) => withoutCredentials(JSON.stringify(shown)))
      .send(shownProblem(request, problem))
  );
}

/** A problem as callers are shown it, whether it is the answer or a part of one. */
export function shownProblem(request: FastifyRequest, problem: ProblemError): Static<typeof Problem> {
  const { status, title } = problemKinds[problem.kind];
  return {
    type: `${reachedAt(request)}${typeOf(problem.kind)}`,
    title,
    status,
    detail: problem.message,
    instance: pathOf(request),
    request_id: request.id,
    ...(problem.errors === undefined ? {} : { errors: problem.errors }),
    ...(problem.keyId === undefined ? {} : { id: problem.keyId }),
    ...(problem.kmsError === undefined ? {} : { kms_error: problem.kmsError }),
  };
}

/** A type without the host at which its page is: the same for every caller. */
const typeOf = (kind: ProblemKind) => `/problems/${kind}`;

/** The text of a problem as it is kept: it may be shown to who reaches the service by another name. */
export function withoutHost(text: string, kind: ProblemKind): string {
  return JSON.stringify({ ...JSON.parse(text), type: typeOf(kind) });
}

/** The text of a problem that was kept, for this caller. */
export function withHost(text: string, request: FastifyRequest): string {
  const problem = JSON.parse(text);
  return JSON.stringify({ ...problem, type: `${reachedAt(request)}${problem.type}` });
}

/** Answers a request that is no HTTP, or more of it than is taken, and ends the connection. */
export function answerUnreadable(error: NodeJS.ErrnoException, socket: Socket, publicUrl: string | null): void {
  if (socket.destroyed || error.code === 'ECONNRESET') return void socket.destroy();
  const [status, reason] = unreadable[error.code ?? ''] ?? [400, 'Bad Request'];
  const { title } = problemKinds['malformed-request'];
  const detail = `The request can't be read as HTTP: ${error.message}.`;
  const id = randomUUID();
  const body = JSON.stringify({
    type: `${publicUrl ?? addressOf(socket)}${typeOf('malformed-request')}`,
    title,
    status,
    detail,
    instance: '',
    request_id: id,
  });
  const headers = `Content-Type: application/problem+json\r\nContent-Length: ${Buffer.byteLength(body)}\r\nX-Request-Id: ${id}`;
  socket.end(`HTTP/1.1 ${status} ${reason}\r\n${headers}\r\nConnection: close\r\n\r\n${body}`);
}

const unreadable: Record<string, [status: number, reason: string]> = {
  ERR_HTTP_REQUEST_TIMEOUT: [408, 'Request Timeout'],
  HPE_HEADER_OVERFLOW: [431, 'Request Header Fields Too Large'],
};

/** The problem that an error is. */
export function toProblem(error: FastifyError, request: FastifyRequest): ProblemError {
  if (error instanceof ProblemError) return error;
  if (error.validation !== undefined) {
    return badParameters(parameterFaults(error.validation));
  }
  // Before the kinds by code: a connection to the database can break in the same words.
  if (request.raw.errored === error) {
    request.log.info('the client hung up');
    return new ProblemError('malformed-request', 'The body broke off.');
  }
  if (isAliasDeclaredTwice(error)) return conflict('Another key has declared one of the aliases by now: ask again.');
  if (isDatabaseBusy(error)) return new ProblemError('temporarily-unavailable', databaseBusy);
  if (isDatabaseAway(error)) {
    return new ProblemError('temporarily-unavailable', databaseAway);
  }
  const kind = kindsByStatus[error.statusCode ?? 500];
  if (kind === undefined) {
    return new ProblemError('internal-error', `An error in Keyward; its log tells more under request ${request.id}.`);
  }
  return new ProblemError(kind, explain(error, request));
}

function explain(error: FastifyError, request: FastifyRequest): string {
  if (error.statusCode === 415) {
    const type = request.headers['content-type'];
    const sent = type === undefined ? 'a body without a Content-Type' : `a body of type ${JSON.stringify(type)}`;
    const { consumes: [right] = ['application/json'] } = (request.routeOptions.schema ?? {}) as { consumes?: string[] };
    return `The request has ${sent}; ${right} is right${request.method === 'PATCH' ? ', or application/merge-patch+json' : ''}.`;
  }
  return `${error.message}.`.replace(/\.\.$/, '.');
}

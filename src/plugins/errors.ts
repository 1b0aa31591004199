/** Every error leaves as RFC 9457 problem+json. */
import type { FastifyError, FastifyReply, FastifyRequest } from 'fastify';
import fp from 'fastify-plugin';
import { isDatabaseAway } from '../database/client.ts';
import { ProblemError, type ProblemKind, problemKinds } from '../services/problems.ts';
import { parameterViolations } from './validation.ts';

/** Seconds after which it makes sense to try again. */
const retryAfter = 5;

const kindsByStatus: Record<number, ProblemKind> = {
  400: 'malformed-request',
  404: 'not-found',
  405: 'method-not-allowed',
  413: 'body-too-large',
  415: 'unsupported-media-type',
};

export default fp(
  async (app) => {
    app.setErrorHandler<FastifyError>((error, request, reply) => {
      const problem = toProblem(error, request);
      if (problemKinds[problem.kind].status >= 500) request.log.error({ err: error }, 'request failed');
      return sendProblem(request, reply, problem);
    });
  },
  { name: 'errors' },
);

/** Answers with a problem. */
export function sendProblem(request: FastifyRequest, reply: FastifyReply, problem: ProblemError): FastifyReply {
  const { status, title } = problemKinds[problem.kind];
  if (status === 503) reply.header('retry-after', retryAfter);
  return reply
    .code(status)
    .type('application/problem+json')
    .send({
      type: `/problems/${problem.kind}`,
      title,
      status,
      detail: problem.message,
      instance: request.url.split('?')[0] ?? request.url,
      request_id: request.id,
      ...(problem.errors === undefined ? {} : { errors: problem.errors }),
      ...(problem.keyId === undefined ? {} : { id: problem.keyId }),
      ...(problem.kmsError === undefined ? {} : { kms_error: problem.kmsError }),
    });
}

function toProblem(error: FastifyError, request: FastifyRequest): ProblemError {
  if (error instanceof ProblemError) return error;
  if (error.validation !== undefined) {
    const errors = parameterViolations(error.validation);
    const detail = errors.map(({ pointer, detail }) => `${pointer}: ${detail}`).join(' ');
    return new ProblemError('malformed-request', detail, { errors });
  }
  if (isDatabaseAway(error)) {
    return new ProblemError('temporarily-unavailable', 'The database is away; nothing was recorded. Try again.');
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
    return `The request has ${sent}; application/json is right${request.method === 'PATCH' ? ', or application/merge-patch+json' : ''}.`;
  }
  return `${error.message}.`.replace(/\.\.$/, '.');
}

/** The Idempotency-Key header, on every write: those operations whose schema has it. */
import type { FastifyReply, FastifyRequest } from 'fastify';
import fp from 'fastify-plugin';
import { beginRequest, fingerprintOf, type RunningRequest, type StoredAnswer } from '../services/idempotency.ts';
import type { ProblemKind } from '../services/problems.ts';
import { callerOf } from './auth.ts';
import { withHost, withoutHost } from './errors.ts';
import { badHeader } from './parameters.ts';

declare module 'fastify' {
  interface FastifyRequest {
    /** Set while a request with an Idempotency-Key runs. */
    idempotency: RunningRequest | null;
  }
}

/** If-Match is no part of what makes two requests the same, so that a stale one can be put right too. */
const unbegun = new Set<ProblemKind>(['malformed-request', 'invalid-input', 'stale-generation', 'forbidden']);
const keptHeaders = ['content-type', 'location', 'etag', 'preference-applied', 'keyward-warning'];

export default fp(
  async (app) => {
    app.decorateRequest('idempotency', null);
    app.addHook('preHandler', async (request, reply) => {
      const key = keyOf(request);
      if (key === null) return;
      const fingerprint = fingerprintOf(request.method, request.url, request.body);
      const begun = await beginRequest(app.services, { actor: ownerOf(request), key, fingerprint });
      if ('status' in begun) return replay(request, reply, begun);
      request.idempotency = begun;
    });
    app.addHook('onSend', async (request, reply, payload) => {
      const running = request.idempotency;
      if (running === null) return;
      request.idempotency = null;
      const body = typeof payload === 'string' ? payload : null;
      // The answer goes out whether or not it could be kept; a repeat then runs again, with the same command id.
      await settle(running, reply, request.problem, body).catch((error: unknown) => {
        request.log.warn({ err: error }, 'could not keep the answer of an idempotent request');
      });
    });
  },
  { name: 'idempotency', dependencies: ['errors'] },
);

/** Nobody is shown what another was answered: not by a token that took over a name, nor for another whom a portal acts for. */
function ownerOf(request: FastifyRequest): string {
  const { principal } = callerOf(request);
  return request.onBehalfOf === null ? principal : `${principal} for ${request.onBehalfOf}`;
}

/** @throws ProblemError malformed-request for a header that is no key. */
function keyOf(request: FastifyRequest): string | null {
  const header = request.headers['idempotency-key'];
  const declared = request.routeOptions.schema?.headers as { properties?: object } | undefined;
  // What is read, or only planned, leaves no key used up.
  if (header === undefined || !Object.hasOwn(declared?.properties ?? {}, 'idempotency-key')) return null;
  const text = String(header);
  // The draft has a quoted string; most clients send the bare text.
  const key = /^"(.*)"$/.exec(text)?.[1] ?? text;
  if (/^[\x21-\x7e]{1,255}$/.test(key)) return key;
  throw badHeader('Idempotency-Key', '1 to 255 visible ASCII characters are right.');
}

function replay(request: FastifyRequest, reply: FastifyReply, { status, headers, body }: StoredAnswer): FastifyReply {
  const isProblem = headers['content-type']?.startsWith('application/problem+json');
  return reply
    .code(status)
    .headers(headers)
    .header('idempotent-replayed', 'true')
    .send(body !== null && isProblem ? withHost(body, request) : (body ?? undefined));
}

/**
 * A fault is no answer for good: what asked then is to be tried again. What was never begun, for want of a right request, leaves
 * its key to the one that is put right.
 */
function settle(
  running: RunningRequest,
  reply: FastifyReply,
  problem: ProblemKind | null,
  body: string | null,
): Promise<void> {
  if (reply.statusCode >= 500 || reply.statusCode === 429) return running.giveUp();
  // A secret that is shown once is kept nowhere.
  if (reply.getHeader('cache-control') === 'no-store') return running.giveUp();
  if (problem !== null && unbegun.has(problem)) return running.forget();
  const headers = keptHeaders.flatMap((name) => {
    const value = reply.getHeader(name);
    return value === undefined ? [] : [[name, String(value)]];
  });
  const kept = problem === null || body === null ? body : withoutHost(body, problem);
  return running.finish({ status: reply.statusCode, headers: Object.fromEntries(headers), body: kept });
}

/** What one caller may take of the service: requests a minute, requests that wait at once, failed sign-ins. */
import rateLimit, { normalizeIP } from '@fastify/rate-limit';
import underPressure from '@fastify/under-pressure';
import type { FastifyRequest } from 'fastify';
import fp from 'fastify-plugin';
import { ProblemError } from '../services/problems.ts';
import { sendProblem } from './errors.ts';
import { isRead, limiterOf, limitWindow } from './requests.ts';

declare module 'fastify' {
  interface FastifyRequest {
    /** Set while the request counts among those of its caller that are under way. */
    releasePlace: (() => void) | null;
  }
  interface FastifyInstance {
    /** Counts a sign-in that failed. @throws ProblemError too-many-requests */
    countFailedSignIn(request: FastifyRequest): Promise<void>;
    /** Counts a request of a caller that is known. @throws ProblemError too-many-requests */
    countRequest(request: FastifyRequest, reply: FastifyReply): Promise<void>;
  }
}

/** Milliseconds over which it is averaged how late the event loop is: longer than a start makes it late. */
const sampleInterval = 5000;

export default fp(
  async (app) => {
    const { limits } = app.services.web;
    await app.register(rateLimit, { global: false });
    await app.register(underPressure, {
      maxEventLoopDelay: limits.eventLoopDelay,
      sampleInterval,
      pressureHandler: (request, reply) => {
        if (request.routeOptions.url === '/livez') return;
        const detail =
          'There are more requests than Keyward can carry out at once. Nothing was recorded: try again later.';
        sendProblem(request, reply, new ProblemError('temporarily-unavailable', detail));
      },
    });
    const limiter = (max: number, keyGenerator: (request: FastifyRequest) => string) =>
      max === 0 ? null : limiterOf(app, max, keyGenerator);
    const ofCaller = (request: FastifyRequest) => request.caller?.principal ?? '';
    const limitReads = limiter(limits.reads, (request) => `read ${ofCaller(request)}`);
    const limitWrites = limiter(limits.writes, (request) => `write ${ofCaller(request)}`);
    const limitFailures = limiter(limits.failedSignIns, (request) => normalizeIP(request.ip));
    const underWay = new Map<string, number>();

    app.decorateRequest('releasePlace', null);
    app.decorate('countFailedSignIn', async (request) => {
      const seen = await limitFailures?.(request);
      if (seen === undefined || seen.isAllowed || !seen.isExceeded) return;
      throw tooMany('sign-ins have failed from this address', seen.ttlInSeconds);
    });
    app.decorate('countRequest', async (request, reply) => {
      // Everybody is the same one.
      if (request.caller === null || request.caller.kind === 'anonymous') return;
      const onlyAsks = isRead(request);
      if (!onlyAsks) takePlace(request, underWay, limits.waiting);
      const seen = await (onlyAsks ? limitReads : limitWrites)?.(request);
      if (seen === undefined || seen.isAllowed) return;
      const name = onlyAsks ? '"reads"' : '"writes"';
      reply.header('ratelimit-policy', `${name};q=${seen.max};w=${limitWindow / 1000}`);
      reply.header('ratelimit', `${name};r=${seen.remaining};t=${seen.ttlInSeconds}`);
      if (seen.isExceeded)
        throw tooMany(`${onlyAsks ? 'reads' : 'writes'} were asked for in a minute`, seen.ttlInSeconds);
    });
    app.addHook('onResponse', async (request) => request.releasePlace?.());
    app.addHook('onRequestAbort', async (request) => request.releasePlace?.());
  },
  { name: 'limits', dependencies: ['errors'] },
);

/** @throws ProblemError too-many-requests */
function takePlace(request: FastifyRequest, underWay: Map<string, number>, most: number): void {
  const principal = request.caller?.principal ?? '';
  const count = underWay.get(principal) ?? 0;
  if (most > 0 && count >= most) throw tooMany('writes are under way', 1);
  underWay.set(principal, count + 1);
  request.releasePlace = () => {
    request.releasePlace = null;
    const left = (underWay.get(principal) ?? 1) - 1;
    if (left > 0) underWay.set(principal, left);
    else underWay.delete(principal);
  };
}

function tooMany(what: string, seconds: number): ProblemError {
  const detail = `Too many ${what}. Nothing was recorded: try again in ${seconds} s.`;
  return new ProblemError('too-many-requests', detail, { retryAfter: Math.max(1, seconds) });
}

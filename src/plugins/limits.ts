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
    /** Among the requests of its caller that are under way. */
    place: Place | null;
  }
  interface FastifyInstance {
    /** Counts a sign-in that failed. @throws ProblemError too-many-requests */
    countFailedSignIn(request: FastifyRequest): Promise<void>;
    /** Counts a request of a caller that is known. @throws ProblemError too-many-requests */
    countRequest(request: FastifyRequest, reply: FastifyReply): Promise<void>;
    /** Counts a body before it is parsed. @throws ProblemError too-many-requests */
    countBody(request: FastifyRequest, bytes: number): Promise<void>;
  }
}

/**
 * What is bounded: not who waits, but what is done. A caller that hangs up leaves its request to be carried out, and its place with
 * it.
 */
type Place = {
  /** @throws ProblemError too-many-requests */
  take(): void;
  /** The request is whole: from now on it ends with an answer, whether or not somebody is there to get it. */
  begin(): void;
  /** Frees the place of a request that will never be whole. */
  hangUp(): void;
  free(): void;
};

/** Bytes of a body that count for one write: a large one takes the time of many. */
const bytesOfWrite = 16_384;

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
    const kinds = {
      reads: { limit: limiter(limits.reads, (request) => `read ${ofCaller(request)}`), most: limits.waitingReads },
      writes: { limit: limiter(limits.writes, (request) => `write ${ofCaller(request)}`), most: limits.waiting },
    };
    const limitFailures = limiter(limits.failedSignIns, (request) => normalizeIP(request.ip));
    const underWay = new Map<string, number>();

    app.decorateRequest('place', null);
    app.decorate('countFailedSignIn', async (request) => {
      const seen = await limitFailures?.(request);
      if (seen === undefined || seen.isAllowed || !seen.isExceeded) return;
      throw tooMany('sign-ins have failed from this address', seen.ttlInSeconds);
    });
    app.decorate('countRequest', async (request, reply) => {
      // Everybody is the same one.
      if (request.caller === null || request.caller.kind === 'anonymous') return;
      const name = isRead(request) ? 'reads' : 'writes';
      const { limit, most } = kinds[name];
      request.place = placeIn(underWay, `${name} of ${ofCaller(request)}`, { name, most });
      // What broke off before this is never whole, unless it was by then.
      if (!request.raw.aborted) request.place.take();
      const seen = await limit?.(request);
      if (seen === undefined || seen.isAllowed) return;
      reply.header('ratelimit-policy', `"${name}";q=${seen.max};w=${limitWindow / 1000}`);
      reply.header('ratelimit', `"${name}";r=${seen.remaining};t=${seen.ttlInSeconds}`);
      if (seen.isExceeded) throw tooMany(`${name} were asked for in a minute`, seen.ttlInSeconds);
    });
    app.decorate('countBody', async (request, bytes) => {
      if (request.caller === null || request.caller.kind === 'anonymous') return;
      for (let counted = bytesOfWrite; counted < bytes; counted += bytesOfWrite) {
        const seen = await kinds.writes.limit?.(request);
        if (seen === undefined || seen.isAllowed || !seen.isExceeded) continue;
        throw tooMany('writes were asked for in a minute, by their size', seen.ttlInSeconds);
      }
    });
    app.addHook('preValidation', async (request) => request.place?.begin());
    app.addHook('onRequestAbort', async (request) => request.place?.hangUp());
    app.addHook('onSend', async ({ place }, { raw }) => {
      if (place === null) return;
      // What nobody takes, or takes slowly, is kept in memory meanwhile.
      if (raw.closed || raw.destroyed) place.free();
      else raw.once('close', place.free);
    });
  },
  { name: 'limits', dependencies: ['errors'] },
);

/** @param most 0: any number. */
function placeIn(underWay: Map<string, number>, caller: string, { name, most }: { name: string; most: number }): Place {
  let [isTaken, hasBegun] = [false, false];
  const take = () => {
    if (isTaken) return;
    const count = underWay.get(caller) ?? 0;
    if (most > 0 && count >= most) throw tooMany(`${name} are under way`, 1);
    underWay.set(caller, count + 1);
    isTaken = true;
  };
  const free = () => {
    if (!isTaken) return;
    isTaken = false;
    const left = (underWay.get(caller) ?? 1) - 1;
    if (left > 0) underWay.set(caller, left);
    else underWay.delete(caller);
  };
  const begin = () => {
    // Whoever hung up while it was looked at who that is has no place any more.
    take();
    hasBegun = true;
  };
  return { take, begin, hangUp: () => !hasBegun && free(), free };
}

function tooMany(what: string, seconds: number): ProblemError {
  const detail = `Too many ${what}. Nothing was recorded: try again in ${seconds} s.`;
  return new ProblemError('too-many-requests', detail, { retryAfter: Math.max(1, seconds) });
}

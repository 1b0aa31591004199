/** What one caller may take of the service: requests a minute, requests that wait at once, failed sign-ins. */
import rateLimit, { normalizeIP } from '@fastify/rate-limit';
import underPressure from '@fastify/under-pressure';
import type { FastifyInstance, FastifyRequest } from 'fastify';
import fp from 'fastify-plugin';
import { ProblemError } from '../services/problems.ts';
import { type Bound, Gate, Place, tooMany } from './places.ts';
import { isRead, limiterOf, limitWindow, operationOf } from './requests.ts';

declare module 'fastify' {
  interface FastifyRequest {
    /** Among the requests of its caller that are under way. */
    place: Place | null;
    /** Lets the next read of the caller be worked on. */
    leave: (() => void) | null;
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

/** Reads of one caller that are worked on at once: some of the connections to the database are left to others. */
const readsAtOnce = 12;
/** Of what is mostly to wait for KMS, one holds up no other. */
const askKms = new Set(['listKeyRotations']);

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
      // An error, and not an answer: the plugin goes on with a request that was answered, and a write is carried out.
      pressureHandler: async (request) => {
        if (request.routeOptions.url === '/livez') return;
        const detail =
          'There are more requests than Keyward can carry out at once. Nothing was recorded: try again later.';
        throw new ProblemError('temporarily-unavailable', detail);
      },
    });
    const limiter = (max: number, keyGenerator: (request: FastifyRequest) => string) =>
      max === 0 ? null : limiterOf(app, max, keyGenerator);
    const ofCaller = (request: FastifyRequest) => request.caller?.principal ?? '';
    const kinds = {
      reads: { limit: limiter(limits.reads, ofCaller), bound: boundOf('reads', limits.waitingReads) },
      writes: { limit: limiter(limits.writes, ofCaller), bound: boundOf('writes', limits.waiting) },
    };
    const limitFailures = limiter(limits.failedSignIns, (request) => normalizeIP(request.ip));
    const gate = new Gate(readsAtOnce);

    app.decorateRequest('place', null);
    app.decorateRequest('leave', null);
    app.decorate('countFailedSignIn', async (request) => {
      const seen = await limitFailures?.(request);
      if (seen === undefined || seen.isAllowed || !seen.isExceeded) return;
      throw tooMany('sign-ins have failed from this address', seen.ttlInSeconds);
    });
    app.decorate('countRequest', async (request, reply) => {
      // Everybody is the same one.
      if (request.caller === null || request.caller.kind === 'anonymous') return;
      const name = isRead(request) ? 'reads' : 'writes';
      const { limit, bound } = kinds[name];
      request.place = new Place(bound, ofCaller(request));
      // What broke off before this is never whole, unless it was by then.
      if (!request.raw.aborted) request.place.take();
      if (name === 'reads' && !askKms.has(operationOf(request))) {
        const entered = gate.enter(ofCaller(request));
        request.leave = entered instanceof Promise ? await entered : entered;
      }
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
    followRequests(app);
  },
  { name: 'limits', dependencies: ['errors'] },
);

function boundOf(name: string, most: number): Bound {
  return { name, most, underWay: new Map() };
}

/** Frees what a request has taken when it is over. */
function followRequests(app: FastifyInstance): void {
  app.addHook('preValidation', async (request) => request.place?.begin());
  app.addHook('onRequestAbort', async (request) => request.place?.hangUp());
  app.addHook('onSend', async ({ place, leave }, { raw }) => {
    leave?.();
    if (place === null) return;
    // What nobody takes, or takes slowly, is kept in memory meanwhile.
    if (raw.closed || raw.destroyed) place.free();
    else raw.once('close', () => place.free());
  });
}

/** Puts on record what changes nothing: what was refused, sign-ins that failed, who reads events. */
import { normalizeIP } from '@fastify/rate-limit';
import type { FastifyRequest } from 'fastify';
import fp from 'fastify-plugin';
import { withoutCredentials } from '../domain/credentials.ts';
import type { AccessEvent } from '../domain/events.ts';
import { recordEvent } from '../services/history/log.ts';
import { isRead, limiterOf, operationOf, originOf, pathOf } from './requests.ts';

const ofEvents = new Set(['listEvents', 'listKeyEvents']);
/** Of what would change something. */
const refusals = new Set([404, 409, 412, 422]);
/** Whoever is answered otherwise was sent away before it was asked who that is. */
const failedSignIns = new Set([401, 429]);
const plans = new Set(['planCreateKey', 'planUpdateKey']);
/** Of one kind from one caller or address in a minute: nobody fills the table by being refused. */
const most = 60;
/** Failed sign-ins of all addresses together: nobody fills it from many. */
const mostOfStrangers = 600;
const longestPath = 1000;

declare module 'fastify' {
  interface FastifyRequest {
    /** The status of a part of the request that was refused, while others were carried out. */
    refusedPart: number | null;
  }
}

export default fp(
  async (app) => {
    app.decorateRequest('refusedPart', null);
    // Each kind of refusal for itself: nobody hides what it may not do behind what it does wrong.
    const limit = limiterOf(
      app,
      most,
      (request) => `${request.problem ?? 'read'} ${request.caller?.principal ?? normalizeIP(request.ip)}`,
    );
    const limitSame = limiterOf(
      app,
      1,
      (request) => `${request.caller?.principal} ${request.onBehalfOf} ${JSON.stringify(eventsRead(request))}`,
    );
    const limitStrangers = limiterOf(app, mostOfStrangers, () => 'everybody');
    const limiters: Partial<Record<AccessEvent['type'], (typeof limit)[]>> = {
      'access.events_read': [limitSame, limit],
      'access.sign_in_failed': [limit, limitStrangers],
    };
    const isTooMuch = async (request: FastifyRequest, type: AccessEvent['type']) => {
      // What one of them holds back does not count for the next.
      for (const limited of limiters[type] ?? [limit]) {
        const seen = await limited(request);
        if (!seen.isAllowed && seen.isExceeded) return true;
      }
      return false;
    };
    // Before the answer goes out, and not after: who hangs up in the middle of it has read what came until then.
    app.addHook('onSend', async (request, reply) => {
      // With AUTH_MODE=none nothing is refused, and nobody is told from anybody.
      if (request.caller?.kind === 'anonymous' || request.routeOptions.config.need === undefined) return;
      const event = eventOf(request, request.refusedPart ?? reply.statusCode);
      if (event === null) return;
      if (await isTooMuch(request, event.type)) return;
      await recordEvent(app.services.database.prisma, event, {
        actor: request.caller?.subject ?? 'unknown',
        ...originOf(request),
      }).catch((error: unknown) => {
        request.log.warn({ err: error, type: event.type }, 'could not put on record what was asked');
      });
    });
  },
  { name: 'audit', dependencies: ['auth', 'limits'] },
);

function eventOf(request: FastifyRequest, status: number): AccessEvent | null {
  const operation = operationOf(request);
  // Not the query: who puts a token there has it in enough places.
  const asked = () => ({ operation, method: request.method, path: shownPathOf(request) });
  if (request.caller === null) {
    const isSignIn = request.headers.authorization !== undefined && failedSignIns.has(status);
    return isSignIn ? { type: 'access.sign_in_failed', data: asked() } : null;
  }
  const asksForChange = !isRead(request) && !plans.has(operation);
  const isRefused = status === 403 || (asksForChange && refusals.has(status));
  if (isRefused) return { type: 'access.refused', data: { ...asked(), status } };
  return ofEvents.has(operation) && status === 200 ? { type: 'access.events_read', data: eventsRead(request) } : null;
}

function eventsRead(request: FastifyRequest) {
  const { cursor: _cursor, limit: _limit, after: _after, ...filters } = request.query as Record<string, unknown>;
  return { path: shownPathOf(request), filters: JSON.parse(withoutCredentials(JSON.stringify(filters))) };
}

function shownPathOf(request: FastifyRequest): string {
  return withoutCredentials(pathOf(request)).slice(0, longestPath);
}

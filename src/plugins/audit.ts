/** Puts on record what changes nothing: what was refused, sign-ins that failed, who reads events. */
import type { FastifyRequest } from 'fastify';
import fp from 'fastify-plugin';
import type { AccessEvent } from '../domain/events.ts';
import { recordEvent } from '../services/history/log.ts';

const reads = new Set(['GET', 'HEAD']);
const ofEvents = new Set(['listEvents', 'listKeyEvents']);
/** Of one kind from one caller or address in a minute: nobody fills the table by being refused. */
const most = 60;
const window = 60_000;

export default fp(
  async (app) => {
    const limit = app.createRateLimit({
      max: most,
      timeWindow: window,
      keyGenerator: (request) => `audit ${request.caller?.principal ?? request.ip}`,
    });
    const limitReads = app.createRateLimit({
      max: 1,
      timeWindow: window,
      keyGenerator: (request) =>
        `${request.caller?.principal} ${request.onBehalfOf} ${JSON.stringify(eventsRead(request))}`,
    });
    app.addHook('onResponse', async (request, reply) => {
      // With AUTH_MODE=none nothing is refused, and nobody is told from anybody.
      if (request.caller?.kind === 'anonymous' || request.routeOptions.config.need === undefined) return;
      const event = eventOf(request, reply.statusCode);
      if (event === null) return;
      const seen = await (event.type === 'access.events_read' ? limitReads : limit)(request);
      if (!seen.isAllowed && seen.isExceeded) return;
      await recordEvent(app.services.database.prisma, event, doerOf(request)).catch((error: unknown) => {
        request.log.warn({ err: error, type: event.type }, 'could not put on record what was asked');
      });
    });
  },
  { name: 'audit', dependencies: ['auth', 'limits'] },
);

function doerOf({ caller, id, onBehalfOf, ip, headers }: FastifyRequest) {
  const userAgent = headers['user-agent']?.slice(0, 256) ?? null;
  return { actor: caller?.subject ?? 'unknown', requestId: id, onBehalfOf, address: ip, userAgent };
}

function eventOf(request: FastifyRequest, status: number): AccessEvent | null {
  const { schema } = request.routeOptions;
  const operation = (schema as { operationId?: string } | undefined)?.operationId ?? '';
  // Not the query: who puts a token there has it in enough places.
  const asked = { operation, method: request.method, path: (request.url.split('?')[0] ?? '').slice(0, 1000) };
  if (request.caller === null) {
    return request.headers.authorization === undefined ? null : { type: 'access.sign_in_failed', data: asked };
  }
  const isRefused = status === 403 || (status === 404 && !reads.has(request.method));
  if (isRefused) return { type: 'access.refused', data: { ...asked, status } };
  return ofEvents.has(operation) && status === 200 ? { type: 'access.events_read', data: eventsRead(request) } : null;
}

function eventsRead(request: FastifyRequest) {
  const { cursor: _cursor, limit: _limit, after: _after, ...filters } = request.query as Record<string, unknown>;
  return { path: request.url.split('?')[0] ?? '', filters };
}

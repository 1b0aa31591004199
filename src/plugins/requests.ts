/** What several plugins read off a request, and count requests by. */
import type { FastifyInstance, FastifyRequest } from 'fastify';
import { withoutCredentials } from '../domain/credentials.ts';

/** Milliseconds that limits are for. */
export const limitWindow = 60_000;
const remembered = 10_000;
/** Characters of a User-Agent that are put on record. */
const longestAgent = 256;

/** Whether a request only asks. */
export function isRead({ method }: Pick<FastifyRequest, 'method'>): boolean {
  return method === 'GET' || method === 'HEAD';
}

/** The path that was asked for, without the query. */
export function pathOf({ url }: Pick<FastifyRequest, 'url'>): string {
  return url.split('?')[0] ?? url;
}

/** Which request it is, for whom, and where it comes from, as events have it. */
export function originOf({ id, onBehalfOf, ip, headers }: FastifyRequest) {
  const agent = headers['user-agent'];
  const userAgent = agent === undefined ? null : withoutCredentials(agent).slice(0, longestAgent);
  return { requestId: id, onBehalfOf, address: ip, userAgent };
}

/**
 * Counts requests by the minute.
 * @param keyGenerator what tells apart those that are counted apart: so many at once.
 */
export function limiterOf(app: FastifyInstance, max: number, keyGenerator: (request: FastifyRequest) => string) {
  // The plugin's types don't know that each limiter has a cache of its own.
  const options = { max, timeWindow: limitWindow, keyGenerator, cache: remembered };
  return app.createRateLimit(options);
}

/** What several plugins read off a request, and count requests by. */
import type { Socket } from 'node:net';
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

/** The operationId; empty: it is none of the API. */
export function operationOf({ routeOptions: { schema } }: FastifyRequest): string {
  return (schema as { operationId?: string } | undefined)?.operationId ?? '';
}

/** The path that was asked for, without the query. */
export function pathOf({ url }: Pick<FastifyRequest, 'url'>): string {
  return url.split('?')[0] ?? url;
}

/**
 * Where the caller reaches the service, without a slash at the end: as it is configured, else as the request has it. Whoever
 * sends a false Host is told it again, and nobody else: what is kept of an answer has no host.
 */
export function reachedAt({ server, protocol, host, raw }: FastifyRequest): string {
  const { publicUrl } = server.services.web;
  if (publicUrl !== null) return publicUrl;
  const url = URL.parse(`${protocol}://${host}`);
  return url !== null && /^https?:$/.test(url.protocol) ? url.origin : addressOf(raw.socket);
}

/** The address at which a connection came in. */
export function addressOf({ localAddress = '127.0.0.1', localPort = 80 }: Socket): string {
  // A link-local address comes with its interface, which no URL has; one of IPv4 on a socket for both, as one of IPv6.
  const [address = ''] = localAddress.replace(/^::ffff:(?=\d+\.)/, '').split('%');
  const host = address.includes(':') ? `[${address}]` : address;
  return new URL(`http://${host}:${localPort}`).origin;
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

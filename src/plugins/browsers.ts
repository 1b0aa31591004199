/** What browsers may do: pages of other origins by allow-list, and a strict policy for our own. */
import type { IncomingHttpHeaders } from 'node:http';
import cors from '@fastify/cors';
import helmet from '@fastify/helmet';
import fp from 'fastify-plugin';
import { isLoopback, type Web } from '../config.ts';
import { ProblemError } from '../services/problems.ts';

const exposedHeaders = [
  ...['ETag', 'Location', 'Preference-Applied', 'Idempotent-Replayed', 'Retry-After'],
  ...['RateLimit', 'RateLimit-Policy', 'X-Request-Id', 'WWW-Authenticate', 'Keyward-Warning'],
  ...['Deprecation', 'Sunset'],
];
const allowedHeaders = [
  ...['Authorization', 'Content-Type', 'If-Match', 'If-None-Match', 'Idempotency-Key', 'Prefer'],
  ...['Keyward-On-Behalf-Of', 'X-Request-Id'],
];
/** Seconds for which a browser may remember what it was told. */
const maxAge = 600;

export default fp(
  async (app) => {
    const { corsOrigins, names } = app.services.web;
    if (corsOrigins.length > 0) {
      const methods = ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE'];
      const origin = [...corsOrigins];
      await app.register(cors, { origin, methods, allowedHeaders, exposedHeaders, maxAge, strictPreflight: false });
    }
    await app.register(helmet, {
      global: false,
      contentSecurityPolicy: {
        useDefaults: false,
        directives: { defaultSrc: ["'none'"], frameAncestors: ["'none'"], baseUri: ["'none'"], formAction: ["'none'"] },
      },
    });
    app.addHook('onRequest', async (request, reply) => {
      reply.header('x-content-type-options', 'nosniff');
      // What has no operation is a page or a part of one.
      if (request.routeOptions.config.need === undefined) await reply.helmet();
      const { origin, host } = request.headers;
      if (names !== null && request.routeOptions.config.need !== 'public') assertNamed(request.headers, names);
      if (origin === undefined || ['GET', 'HEAD', 'OPTIONS'].includes(request.method)) return;
      // A page anywhere can send a POST without a body, with no question asked before.
      if (corsOrigins.includes(origin) || URL.parse(origin)?.host === host) return;
      throw new ProblemError(
        'forbidden',
        'Pages of this origin may change nothing here: CORS_ORIGINS lists those that may.',
      );
    });
  },
  { name: 'browsers', dependencies: ['errors'] },
);

/**
 * A page can have its own name lead to this machine, and is then of the same origin for the browser: its name tells.
 * @throws ProblemError forbidden
 */
function assertNamed(headers: IncomingHttpHeaders, { known, ofScripts }: NonNullable<Web['names']>): void {
  const { host, origin, 'sec-fetch-site': site } = headers;
  if (host === undefined || (ofScripts === 'any' && origin === undefined && site === undefined)) return;
  const name = URL.parse(`http://${host}`)?.hostname ?? '';
  if (isLoopback(name) || known.includes(name)) return;
  const detail = `With AUTH_MODE=none Keyward does not answer as ${JSON.stringify(host)}: call it at 127.0.0.1 or localhost.`;
  throw new ProblemError('forbidden', detail);
}

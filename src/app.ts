/** The HTTP application: plugins and routes. It does not listen, and it owns no connection. */
import { randomUUID } from 'node:crypto';
import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox';
import fastify, { type FastifyInstance, type FastifyServerOptions, LogController } from 'fastify';
import { withoutCredentials } from './domain/credentials.ts';
import audit from './plugins/audit.ts';
import auth from './plugins/auth.ts';
import bodies, { bodyLimit } from './plugins/bodies.ts';
import browsers from './plugins/browsers.ts';
import caching from './plugins/caching.ts';
import deprecation from './plugins/deprecation.ts';
import docs from './plugins/docs.ts';
import errors, { answerUnreadable, sendProblem } from './plugins/errors.ts';
import health from './plugins/health.ts';
import idempotency from './plugins/idempotency.ts';
import limits from './plugins/limits.ts';
import metrics from './plugins/metrics.ts';
import parameters from './plugins/parameters.ts';
import problemPages from './plugins/problem-pages.ts';
import reference from './plugins/reference.ts';
import routing from './plugins/routing.ts';
import serialization from './plugins/serialization.ts';
import validation from './plugins/validation.ts';
import access from './routes/access.ts';
import events from './routes/events.ts';
import imports from './routes/imports.ts';
import actions from './routes/keys/actions.ts';
import grants from './routes/keys/grants.ts';
import history from './routes/keys/history.ts';
import lines from './routes/keys/lines.ts';
import plan from './routes/keys/plan.ts';
import read from './routes/keys/read.ts';
import replicas from './routes/keys/replicas.ts';
import resolve from './routes/keys/resolve.ts';
import rotations from './routes/keys/rotations.ts';
import write from './routes/keys/write.ts';
import providers from './routes/providers.ts';
import recovery from './routes/recovery.ts';
import terraform from './routes/terraform.ts';
import unmanaged from './routes/unmanaged.ts';
import { type Deprecations, deprecations as deprecationTable } from './schemas/deprecations.ts';
import type { Services } from './services/context.ts';
import { ProblemError } from './services/problems.ts';

declare module 'fastify' {
  interface FastifyInstance {
    services: Services;
  }
}

export type AppOptions = {
  services: Services;
  logger: FastifyServerOptions['loggerInstance'];
  /** A worker serves its health only. */
  role?: 'all' | 'api' | 'worker';
  /** Operations that go. */
  deprecations?: Deprecations;
};

/** What a caller may send as X-Request-Id and get back. */
const requestId = /^[\w.:-]{1,128}$/;

/** Headers of a request that are looked at. Each takes time, and no client has as many. */
const mostHeaders = 100;

/** Milliseconds. The longest wait for an answer is a minute. */
const slowClients = {
  /** For a whole request to arrive. */
  requestTimeout: 30_000,
  /** For which a connection may be silent. */
  connectionTimeout: 90_000,
  http: { headersTimeout: 15_000, connectionsCheckingInterval: 5000, maxHeaderSize: 16_384 },
};

const resources = [
  read,
  lines,
  write,
  actions,
  providers,
  recovery,
  unmanaged,
  imports,
  plan,
  replicas,
  resolve,
  rotations,
  grants,
  history,
  events,
  access,
  terraform,
];

/** Builds the application; `ready()` or `listen()` is the caller's. */
export async function buildApp({ services, logger, role = 'all', deprecations = deprecationTable }: AppOptions) {
  const app = fastify({
    ...(logger === undefined ? { logger: false } : { loggerInstance: logger }),
    bodyLimit,
    ...slowClients,
    trustProxy: services.web.trustedProxies ?? false,
    // A machine that starts many at once is slow, not broken.
    pluginTimeout: 60_000,
    logController: new LogController({ disableRequestLogging: true }),
    // Node itself bounds a path; one that names no key is 404, however long.
    routerOptions: { ignoreTrailingSlash: false, maxParamLength: 100_000 },
    clientErrorHandler: (error, socket) => answerUnreadable(error, socket, services.web.publicUrl),
    frameworkErrors: (error, request, reply) => {
      const detail = `The path can't be read: ${error.message}.`;
      sendProblem(request, reply, new ProblemError('malformed-request', detail));
    },
    genReqId: (request) => {
      const given = request.headers['x-request-id'];
      const isFit = typeof given === 'string' && requestId.test(given) && withoutCredentials(given) === given;
      return isFit ? given : randomUUID();
    },
  }).withTypeProvider<TypeBoxTypeProvider>();
  app.decorate('services', services);
  app.server.maxHeadersCount = mostHeaders;
  app.addHook('onRequest', async (request, reply) => {
    reply.header('x-request-id', request.id);
  });
  endConnectionsWithTheirLastAnswer(app);
  await app.register(errors);
  await app.register(deprecation, { deprecations });
  await app.register(routing);
  await app.register(limits);
  await app.register(browsers);
  await app.register(auth);
  await app.register(audit);
  await app.register(bodies);
  await app.register(parameters);
  await app.register(validation);
  await app.register(serialization);
  // Before every plugin with routes of its own: what it gives a request, those that came before would lack.
  await app.register(idempotency);
  await app.register(caching);
  if (role !== 'worker') await app.register(docs).register(reference);
  await app.register(problemPages);
  await app.register(health);
  await app.register(metrics);
  if (role === 'worker') return app;
  for (const routes of resources) await app.register(routes, { prefix: '/v1' });
  return app;
}

/** Fastify says so to requests that come during a stop; those under way would keep their connection, and the stop. */
function endConnectionsWithTheirLastAnswer(app: FastifyInstance): void {
  let isClosing = false;
  app.addHook('preClose', async () => {
    isClosing = true;
  });
  app.addHook('onSend', async (_request, reply) => {
    if (isClosing) reply.header('connection', 'close');
  });
}

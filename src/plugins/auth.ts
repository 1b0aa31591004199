/** Who asks, and whether they may: before anything else of a request is looked at. */
import type { FastifyInstance, FastifyReply, FastifyRequest, RouteOptions } from 'fastify';
import fp from 'fastify-plugin';
import type { Rights } from '../domain/access.ts';
import { withoutCredentials } from '../domain/credentials.ts';
import { operationNeeds, permissions } from '../domain/permissions.ts';
import { problemAnswer } from '../schemas/common.ts';
import { assertMayPut, assertMayTouch, forbidden } from '../services/access/keys.ts';
import type { Caller } from '../services/access/sign-in.ts';
import type { Actor } from '../services/context.ts';
import { ProblemError } from '../services/problems.ts';
import { providerNotFound } from '../services/providers/commands.ts';
import { badHeader } from './parameters.ts';
import { originOf } from './requests.ts';

type Need = (typeof operationNeeds)[string];

declare module 'fastify' {
  interface FastifyRequest {
    /** Set for every request but those that need nobody. */
    caller: Caller | null;
    /** Set where the operation needs a permission. */
    rights: Rights | null;
    onBehalfOf: string | null;
  }
  interface FastifyContextConfig {
    need?: Need;
  }
}

export default fp(
  async (app) => {
    app.decorateRequest('caller', null);
    app.decorateRequest('rights', null);
    app.decorateRequest('onBehalfOf', null);
    app.addHook('onRoute', takeNeed);
    app.addHook('onRequest', async (request, reply) => {
      const { need } = request.routeOptions.config;
      if (need === undefined || need === 'public' || request.is404) return;
      await signIn(app, request, reply);
      await app.countRequest(request, reply);
      await authorize(app, request, need);
    });
    app.addHook('preHandler', async (request, reply) => {
      const { need } = request.routeOptions.config;
      if (need === undefined || need === 'public' || request.is404 || request.body === undefined) return;
      // A body may take half a minute to come, and rights are taken away meanwhile.
      await signIn(app, request, reply);
      await authorize(app, request, need);
    });
  },
  { name: 'auth', dependencies: ['errors', 'limits'] },
);

/** Routes of pages and documents, which tell nothing of keys, have no operationId. */
function takeNeed(route: RouteOptions): void {
  const { operationId, description, response } = (route.schema ?? {}) as {
    operationId?: string;
    description?: string;
    response?: object;
  };
  if (operationId === undefined && !route.url.startsWith('/v1')) return;
  const need = operationNeeds[operationId ?? ''];
  if (need === undefined) {
    throw new Error(`${route.method} ${route.url}: ${operationId} has no entry in src/domain/permissions.ts`);
  }
  route.config = { ...route.config, need };
  if (need === 'public') {
    route.schema = { ...route.schema, security: [] };
    return;
  }
  const words = need === 'known' ? 'Needs credentials, and no permission.' : needInWords(need);
  route.schema = {
    ...route.schema,
    description: [description, words].filter(Boolean).join('\n\n'),
    security: [{ bearer: [] }],
    response: {
      ...response,
      401: problemAnswer('There are no credentials, or none that are valid.'),
      403: problemAnswer('The caller may not do this.'),
      429: problemAnswer('The caller asks for too much; Retry-After says when to come again.'),
    },
  };
}

function needInWords({ permission, reach }: Exclude<Need, string>): string {
  if (reach === 'key-or-new') {
    return 'Needs the permission `keys:create` where there is no such key, and `keys:update` where there is one.';
  }
  const where = reach === 'everywhere' ? ', without limits' : '';
  return `Needs the permission \`${permission}\`${where}: ${permissions[permission]}.`;
}

/** @throws ProblemError unauthenticated, too-many-requests. */
async function signIn(app: FastifyInstance, request: FastifyRequest, reply: FastifyReply): Promise<void> {
  try {
    const caller = app.services.callers.behind(request.headers.authorization);
    request.caller = caller instanceof Promise ? await caller : caller;
  } catch (error) {
    if (!(error instanceof ProblemError) || error.kind !== 'unauthenticated') throw error;
    const isGiven = request.headers.authorization !== undefined;
    // Nobody guesses with nothing.
    if (isGiven) await app.countFailedSignIn(request);
    reply.header('www-authenticate', `Bearer realm="keyward"${isGiven ? ', error="invalid_token"' : ''}`);
    throw error;
  }
}

/** @throws ProblemError malformed-request, forbidden, not-found. */
async function authorize(app: FastifyInstance, request: FastifyRequest, need: Exclude<Need, 'public'>): Promise<void> {
  const caller = callerOf(request);
  request.onBehalfOf = onBehalfOf(request, caller);
  if (need === 'known') return;
  const { access } = caller;
  const { permission, reach } = need;
  const rights = { access, permission };
  request.rights = rights;
  const { id, name } = request.params as { id?: string; name?: string };
  if (reach === 'key-or-new') return assertMayPut(app.services, id ?? '', access);
  if (reach === 'key') return assertMayTouch(app.services, id ?? '', rights);
  if (!(reach === 'everywhere' ? access.hasEverywhere(permission) : access.hasSomewhere(permission))) {
    throw forbidden(permission);
  }
  if (reach === 'provider' && !access.mayAt(permission, name ?? '')) throw providerNotFound(name ?? '');
}

/** @throws ProblemError malformed-request, forbidden. */
function onBehalfOf(request: FastifyRequest, { access }: Caller): string | null {
  const header = request.headers['keyward-on-behalf-of'];
  if (header === undefined) return null;
  // Node reads headers as Latin-1; names outside of it come as UTF-8.
  const text = Buffer.from(String(header), 'latin1').toString('utf8').trim();
  if (!/^[^\p{Cc}\uFFFD\u202A-\u202E\u2066-\u2069]{1,256}$/u.test(text) || withoutCredentials(text) !== text) {
    throw badHeader('Keyward-On-Behalf-Of', '1 to 256 characters of UTF-8 are right, and no credentials.');
  }
  if (!access.hasSomewhere('access:on-behalf-of')) throw forbidden('access:on-behalf-of');
  return text;
}

/** Who asks, as what it asks for puts it on record, and what it may do. */
export function actorOf(request: FastifyRequest): Actor {
  return { actor: callerOf(request).subject, ...originOf(request), rights: rightsOf(request) };
}

/** @throws where the operation needs nobody: nothing is decided by rights that nobody has looked at. */
export function callerOf(request: FastifyRequest): Caller {
  if (request.caller === null) throw new Error(`${request.method} ${request.routeOptions.url} knows no caller`);
  return request.caller;
}

/** The same for what the caller may do. */
export function rightsOf(request: FastifyRequest): Rights {
  if (request.rights === null) throw new Error(`${request.method} ${request.routeOptions.url} asks for no rights`);
  return request.rights;
}

/** Answers what no route takes: 405 with Allow where the path exists, 404 where it doesn't; and OPTIONS, where it does. */
import type { FastifyReply, FastifyRequest } from 'fastify';
import fp from 'fastify-plugin';
import createRouter, { type HTTPMethod } from 'find-my-way';
import { ProblemError } from '../services/problems.ts';
import { pathOf } from './requests.ts';

/** What a PATCH may be. Source: RFC 5789, 3.1. */
const patchTypes = 'application/merge-patch+json, application/json';

export default fp(
  async (app) => {
    const router = createRouter();
    const methods = new Set<HTTPMethod>();
    app.addHook('onRoute', (route) => {
      for (const method of [route.method].flat() as HTTPMethod[]) {
        if (method === 'OPTIONS' || router.hasRoute(method, route.url)) continue;
        router.on(method, route.url, () => {}, { url: route.url });
        methods.add(method);
      }
    });

    /** What a path takes. One that is a route's own to the letter is no other's with a parameter in its place. */
    const allowedAt = (path: string): string[] => {
      const found = [...methods].flatMap((method) => {
        const route = router.find(method, path);
        return route === null ? [] : [{ method, isExact: (route.store as { url: string }).url === path }];
      });
      const isExact = found.some((one) => one.isExact);
      const allowed = found.filter((one) => one.isExact === isExact).map(({ method }) => method);
      return allowed.length === 0 ? [] : [...allowed, 'OPTIONS'].sort();
    };

    const refuse = (request: FastifyRequest, reply: FastifyReply): never => {
      const path = pathOf(request);
      const allowed = allowedAt(path);
      if (allowed.length === 0) throw new ProblemError('not-found', `There is nothing at ${path}.`);
      reply.header('allow', allowed.join(', '));
      const detail = `${request.method} is not possible at ${path}; ${allowed.join(', ')} are.`;
      throw new ProblemError('method-not-allowed', detail);
    };
    // Before its body is read: what is wrong with that does not matter here.
    app.addHook('preParsing', async (request, reply) => {
      const { url } = request.routeOptions;
      const path = pathOf(request);
      const isOwn = url === path || url?.includes(':') === false;
      if (request.is404 ? request.method !== 'OPTIONS' : !isOwn && !allowedAt(path).includes(request.method)) {
        refuse(request, reply);
      }
    });
    app.setNotFoundHandler((request, reply) => {
      const allowed = allowedAt(pathOf(request));
      if (request.method !== 'OPTIONS' || allowed.length === 0) return refuse(request, reply);
      if (allowed.includes('PATCH')) reply.header('accept-patch', patchTypes);
      return reply.header('allow', allowed.join(', ')).code(204).send();
    });
  },
  { name: 'routing', dependencies: ['errors'] },
);

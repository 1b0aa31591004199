/** Answers what no route takes: 405 with Allow where the path exists, 404 where it doesn't. */
import fp from 'fastify-plugin';
import createRouter, { type HTTPMethod } from 'find-my-way';
import { ProblemError } from '../services/problems.ts';
import { sendProblem } from './errors.ts';

export default fp(
  async (app) => {
    const router = createRouter();
    const methods = new Set<HTTPMethod>();
    app.addHook('onRoute', (route) => {
      for (const method of [route.method].flat() as HTTPMethod[]) {
        if (router.hasRoute(method, route.url)) continue;
        router.on(method, route.url, () => {});
        methods.add(method);
      }
    });
    app.setNotFoundHandler((request, reply) => {
      const path = request.url.split('?')[0] ?? '/';
      const allowed = [...methods].filter((method) => router.find(method, path) !== null).sort();
      if (allowed.length === 0) {
        return sendProblem(request, reply, new ProblemError('not-found', `There is nothing at ${path}.`));
      }
      reply.header('allow', allowed.join(', '));
      const detail = `${request.method} is not possible at ${path}; ${allowed.join(', ')} ${allowed.length === 1 ? 'is' : 'are'}.`;
      return sendProblem(request, reply, new ProblemError('method-not-allowed', detail));
    });
  },
  { name: 'routing', dependencies: ['errors'] },
);

/** Prometheus metrics of this process and of the fleet. */
import fp from 'fastify-plugin';
import { Type } from 'typebox';
import { problems } from '../schemas/common.ts';

export default fp(
  async (app) => {
    app.addHook('onResponse', async (request, reply) => {
      // Paths without a route would be labels without bound.
      const route = request.routeOptions.url ?? 'none';
      app.services.metrics.request(request.method, route, reply.statusCode, reply.elapsedTime / 1000);
    });
    app.get(
      '/metrics',
      {
        schema: {
          operationId: 'getMetrics',
          tags: ['Service'],
          summary: 'Prometheus metrics',
          description: 'Of this process and of the fleet, as text: docs/metrics.md lists them.',
          security: [],
          response: {
            200: { description: 'The metrics.', content: { 'text/plain': { schema: Type.String() } } },
            ...problems(),
          },
        },
      },
      async (_request, reply) => {
        const { metrics } = app.services;
        return reply.type(metrics.contentType).send(await metrics.text());
      },
    );
  },
  { name: 'metrics' },
);

/** Operations that go: the document says so, and each answer of theirs. Sources: RFC 9745, RFC 8594. */
import fp from 'fastify-plugin';
import type { Deprecation, Deprecations } from '../schemas/deprecations.ts';

declare module 'fastify' {
  interface FastifyContextConfig {
    /** What the answers of the route say of its end. */
    endHeaders?: { deprecation: string; sunset: string };
  }
}

export default fp<{ deprecations: Deprecations }>(
  async (app, { deprecations }) => {
    app.addHook('onRoute', (route) => {
      const { operationId = '', description = '' } = (route.schema ?? {}) as {
        operationId?: string;
        description?: string;
      };
      const entry = Object.hasOwn(deprecations, operationId) ? deprecations[operationId] : undefined;
      if (entry === undefined) return;
      route.config = { ...route.config, endHeaders: headersOf(entry) } as typeof route.config & object;
      const words = `Deprecated since ${entry.since}, and gone from ${entry.until} on: ${entry.instead}`;
      route.schema = { ...route.schema, deprecated: true, description: `${description}\n\n${words}` };
    });
    app.addHook('onRequest', async (request, reply) => {
      const { endHeaders } = request.routeOptions.config;
      if (endHeaders !== undefined) reply.headers(endHeaders);
    });
  },
  { name: 'deprecation' },
);

function headersOf({ since, until }: Deprecation): { deprecation: string; sunset: string } {
  return { deprecation: `@${Date.parse(since) / 1000}`, sunset: new Date(until).toUTCString() };
}

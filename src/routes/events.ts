/** The events of all keys. */
import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import { rightsOf } from '../plugins/auth.ts';
import { problems } from '../schemas/common.ts';
import { EventQuery } from '../schemas/history.ts';
import { listEvents } from '../services/history/events.ts';
import { jsonAnswer } from './keys/shared.ts';

const routes: FastifyPluginAsyncTypebox = async (app) => {
  app.get(
    '/events',
    {
      schema: {
        operationId: 'listEvents',
        tags: ['History'],
        summary: 'List everything that happened, newest first',
        description:
          "Of all keys and providers. Events are never changed; how long they are kept is the operator's choice.",
        querystring: EventQuery,
        response: { 200: jsonAnswer('A page.', 'EventList'), ...problems() },
      },
    },
    async (request) => {
      const { items, nextCursor } = await listEvents(app.services, request.query, rightsOf(request).access);
      return { items, next_cursor: nextCursor };
    },
  );
};

export default routes;

/** Keys in KMS that Keyward does not manage. */
import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import { rightsOf } from '../plugins/auth.ts';
import { problems } from '../schemas/common.ts';
import { UnmanagedKeyQuery } from '../schemas/unmanaged.ts';
import { listUnmanagedKeys } from '../services/unmanaged/list.ts';

const routes: FastifyPluginAsyncTypebox = async (app) => {
  app.get(
    '/unmanaged-keys',
    {
      schema: {
        operationId: 'listUnmanagedKeys',
        tags: ['Keys'],
        summary: 'List the customer managed keys in KMS that Keyward does not manage',
        description: "In KMS's order. Reads KMS: two calls for each key that Keyward has no record of.",
        querystring: UnmanagedKeyQuery,
        response: {
          200: { description: 'A page.', content: { 'application/json': { schema: { $ref: 'UnmanagedKeyList#' } } } },
          ...problems(404),
        },
      },
    },
    async (request) => {
      const { items, nextCursor } = await listUnmanagedKeys(app.services, request.query, rightsOf(request).access);
      return { items, next_cursor: nextCursor };
    },
  );
};

export default routes;

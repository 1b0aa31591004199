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
        summary: 'List keys in KMS that Keyward does not manage',
        description:
          'By provider and key id, as the last sweep saw them, of all providers or one: `sweeps` says how old that is, `observed_at` of each key. KMS is not asked. A key that is imported leaves the list at once; what changes in KMS shows after the next sweep, within an hour, and within a day where the key was known. AWS managed keys and replicas are shown where `include` asks for them.',
        querystring: UnmanagedKeyQuery,
        response: {
          200: { description: 'A page.', content: { 'application/json': { schema: { $ref: 'UnmanagedKeyList#' } } } },
          ...problems(404),
        },
      },
    },
    async (request) => listUnmanagedKeys(app.services, request.query, rightsOf(request).access),
  );
};

export default routes;

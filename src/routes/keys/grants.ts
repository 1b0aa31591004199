/** Lists the grants of keys, and revokes and retires them. */
import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import { refuseBody } from '../../plugins/bodies.ts';
import { problems } from '../../schemas/common.ts';
import { KeyGrantParams, KeyGrantQuery } from '../../schemas/grant.ts';
import { KeyParams } from '../../schemas/key.ts';
import { runErrand } from '../../services/commands/errands.ts';
import { listKeyGrants } from '../../services/keys/grants.ts';
import { commandOf, conditionalWriteHeaders, jsonAnswer, sendKey, writeAnswers } from './shared.ts';

const routes: FastifyPluginAsyncTypebox = async (app) => {
  app.addHook('preValidation', refuseBody);

  app.get(
    '/keys/:id/grants',
    {
      schema: {
        operationId: 'listKeyGrants',
        tags: ['Keys'],
        summary: 'List the grants of a key, as KMS does',
        description: 'Asks KMS, which gives 100 a page at most. A grant may take minutes to be listed, or to be gone.',
        params: KeyParams,
        querystring: KeyGrantQuery,
        response: { 200: jsonAnswer('A page.', 'KeyGrantList'), ...problems(404, 409, 422) },
      },
    },
    async (request) => {
      const { items, nextCursor } = await listKeyGrants(app.services, request.params.id, request.query);
      return { items, next_cursor: nextCursor };
    },
  );

  for (const { name, operation, summary, done, how } of [
    {
      name: 'revoke',
      operation: 'RevokeGrant',
      summary: 'Revoke a grant of a key',
      done: 'The grant is revoked.',
      how: 'As who manages the key: nobody can use the grant any more, once that is known everywhere in KMS.',
    },
    {
      name: 'retire',
      operation: 'RetireGrant',
      summary: 'Retire a grant of a key',
      done: 'The grant is retired.',
      how: "As the grant's retiring principal, or as who KMS lets retire it: another caller is refused.",
    },
  ] as const) {
    app.post(
      `/keys/:id/grants/:grant_id/${name}`,
      {
        schema: {
          operationId: `${name}KeyGrant`,
          tags: ['Keys'],
          summary,
          description: `${how} 404 where KMS has no such grant. A call whose answer is lost is sent again until KMS tells what became of it.`,
          params: KeyGrantParams,
          headers: conditionalWriteHeaders,
          response: writeAnswers(200, done, 404, 409, 412),
        },
      },
      async (request, reply) => {
        const { id, grant_id: GrantId } = request.params;
        const errand = { operation, parameters: { GrantId } };
        return sendKey(reply, await runErrand(app.services, id, errand, commandOf(request, reply)), 200);
      },
    );
  }
};

export default routes;

/** A key's past: its revisions and events, and the way back to an earlier desired state. */
import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import { rightsOf } from '../../plugins/auth.ts';
import { problems, ref } from '../../schemas/common.ts';
import { KeyEventQuery, KeyRollback, PageQuery } from '../../schemas/history.ts';
import { KeyParams, TakeQuery } from '../../schemas/key.ts';
import { rollbackKey } from '../../services/commands/rollback.ts';
import { listKeyEvents } from '../../services/history/events.ts';
import { listRevisions } from '../../services/keys/revisions.ts';
import { assertValidBody, commandOf, conditionalWriteHeaders, jsonAnswer, sendKey, writeAnswers } from './shared.ts';

const routes: FastifyPluginAsyncTypebox = async (app) => {
  app.get(
    '/keys/:id/revisions',
    {
      schema: {
        operationId: 'listKeyRevisions',
        tags: ['History'],
        summary: "List a key's desired states by generation, newest first",
        description: 'They stay when the key is deleted or released.',
        params: KeyParams,
        querystring: PageQuery,
        response: { 200: jsonAnswer('A page.', 'RevisionList'), ...problems(404) },
      },
    },
    async (request) => {
      const { items, nextCursor } = await listRevisions(app.services, request.params.id, request.query);
      return { items, next_cursor: nextCursor };
    },
  );

  app.get(
    '/keys/:id/events',
    {
      schema: {
        operationId: 'listKeyEvents',
        tags: ['History'],
        summary: 'List what happened to a key, newest first',
        description: "Events outlive the key's record.",
        params: KeyParams,
        querystring: KeyEventQuery,
        response: { 200: jsonAnswer('A page.', 'EventList'), ...problems(404) },
      },
    },
    async (request) => {
      const { access } = rightsOf(request);
      const { items, nextCursor } = await listKeyEvents(app.services, request.params.id, request.query, access);
      return { items, next_cursor: nextCursor };
    },
  );

  app.post(
    '/keys/:id/rollback',
    {
      attachValidation: true,
      schema: {
        operationId: 'rollbackKey',
        tags: ['History'],
        summary: 'Bring an earlier desired state back, as a new generation',
        description: 'What KMS fixed when the key was made is 422 where that revision had it otherwise.',
        params: KeyParams,
        headers: conditionalWriteHeaders,
        querystring: TakeQuery,
        body: ref(KeyRollback),
        response: writeAnswers(200, 'KMS holds that state.', 404, 409, 412, 413, 415),
      },
    },
    async (request, reply) => {
      assertValidBody(request);
      const { generation } = request.body;
      const command = commandOf(request, reply);
      return sendKey(reply, await rollbackKey(app.services, request.params.id, generation, command), 200);
    },
  );
};

export default routes;

/** Deletes, restores, releases and observes keys. */
import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import { refuseBody } from '../../plugins/bodies.ts';
import { problems } from '../../schemas/common.ts';
import { DeletionQuery, KeyParams } from '../../schemas/key.ts';
import { deleteKey, observeKey, releaseKey, restoreKey } from '../../services/commands/declare.ts';
import { commandOf, conditionalWriteHeaders, keyAnswer, sendKey, writeAnswers } from './shared.ts';

const removed = { description: 'Keyward has no record of the key any more.', type: 'null' };

const routes: FastifyPluginAsyncTypebox = async (app) => {
  app.addHook('preValidation', refuseBody);
  const action = { tags: ['Keys'], params: KeyParams, headers: conditionalWriteHeaders };

  app.delete(
    '/keys/:id',
    {
      schema: {
        ...action,
        operationId: 'deleteKey',
        summary: 'Schedule the deletion of a key',
        description: 'It can be taken back until its window is over. Asking again changes nothing.',
        querystring: DeletionQuery,
        response: {
          202: keyAnswer('The deletion is scheduled, or will be.'),
          204: { ...removed, description: 'KMS never had the key; its record is removed.' },
          ...problems(404, 409, 412, 422),
        },
      },
    },
    async (request, reply) => {
      const { deletion_window_in_days: window } = request.query;
      const accepted = await deleteKey(app.services, request.params.id, window, commandOf(request, reply));
      return accepted === null ? reply.code(204).send() : sendKey(reply, accepted, 202);
    },
  );

  app.post(
    '/keys/:id/restore',
    {
      schema: {
        ...action,
        operationId: 'restoreKey',
        summary: 'Take a deletion back',
        description: 'The key comes back to its desired state, `is_enabled` included.',
        response: writeAnswers(200, 'The key is in its desired state again.', 404, 409, 412),
      },
    },
    async (request, reply) =>
      sendKey(reply, await restoreKey(app.services, request.params.id, commandOf(request, reply)), 200),
  );

  app.post(
    '/keys/:id/release',
    {
      schema: {
        ...action,
        operationId: 'releaseKey',
        summary: 'Stop managing a key and leave it in KMS',
        description: 'Only the ownership tag is removed. `POST /v1/keys/import` takes it back.',
        response: {
          202: keyAnswer('Recorded; the ownership tag is still to be removed.'),
          204: removed,
          ...problems(404, 409, 412, 422),
        },
      },
    },
    async (request, reply) => {
      const accepted = await releaseKey(app.services, request.params.id, commandOf(request, reply));
      return accepted === null ? reply.code(204).send() : sendKey(reply, accepted, 202);
    },
  );

  for (const { name, enforce, summary, description, done } of [
    {
      name: 'refresh',
      enforce: false,
      summary: 'Observe a key now',
      description: 'Asks KMS, and changes nothing there.',
      done: 'The key, freshly observed.',
    },
    {
      name: 'sync',
      enforce: true,
      summary: 'Observe a key and enforce its desired state now',
      description: 'Whatever the drift_policy.',
      done: 'KMS is right.',
    },
  ]) {
    app.post(
      `/keys/:id/${name}`,
      {
        schema: {
          ...action,
          operationId: `${name}Key`,
          summary,
          description,
          response: writeAnswers(200, done, 404, 409, 412),
        },
      },
      async (request, reply) => {
        const command = commandOf(request, reply);
        return sendKey(reply, await observeKey(app.services, request.params.id, { enforce }, command), 200);
      },
    );
  }
};

export default routes;

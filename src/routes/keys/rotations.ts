/** Rotates keys on demand, and lists what was rotated. */
import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import { refuseBody } from '../../plugins/bodies.ts';
import { problems } from '../../schemas/common.ts';
import { PageQuery } from '../../schemas/history.ts';
import { KeyParams } from '../../schemas/key.ts';
import { runErrand } from '../../services/commands/errands.ts';
import { listKeyRotations } from '../../services/keys/rotations.ts';
import { commandOf, conditionalWriteHeaders, jsonAnswer, sendKey, writeAnswers } from './shared.ts';

const routes: FastifyPluginAsyncTypebox = async (app) => {
  app.addHook('preValidation', refuseBody);

  app.post(
    '/keys/:id/rotate',
    {
      schema: {
        operationId: 'rotateKey',
        tags: ['Keys'],
        summary: "Rotate a key's material now",
        description:
          'KMS limits the on-demand rotations in the life of a key; past its limit they are 422. A call without an answer is not repeated before it is known whether it had an effect.',
        params: KeyParams,
        headers: conditionalWriteHeaders,
        response: writeAnswers(200, 'The key is rotated.', 404, 409, 412),
      },
    },
    async (request, reply) => {
      const errand = { operation: 'RotateKeyOnDemand', parameters: {} } as const;
      return sendKey(reply, await runErrand(app.services, request.params.id, errand, commandOf(request, reply)), 200);
    },
  );

  app.get(
    '/keys/:id/rotations',
    {
      schema: {
        operationId: 'listKeyRotations',
        tags: ['Keys'],
        summary: "List the rotations of a key's material, as KMS does",
        description: 'Asks KMS. A key that can not be rotated has none.',
        params: KeyParams,
        querystring: PageQuery,
        response: { 200: jsonAnswer('A page.', 'KeyRotationList'), ...problems(404, 409) },
      },
    },
    async (request) => {
      const { items, nextCursor } = await listKeyRotations(app.services, request.params.id, request.query);
      return { items, next_cursor: nextCursor };
    },
  );
};

export default routes;

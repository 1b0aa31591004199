/** Makes replicas of multi-Region keys. */
import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import { ref } from '../../schemas/common.ts';
import { KeyParams, ReplicaCreate, TakeQuery } from '../../schemas/key.ts';
import { replicateKey } from '../../services/commands/replicate.ts';
import { commandOf, inputOf, newKeyAnswers, sendNewKey, writeAnswers, writeHeaders } from './shared.ts';

const routes: FastifyPluginAsyncTypebox = async (app) => {
  app.post(
    '/keys/:id/replicas',
    {
      attachValidation: true,
      schema: {
        operationId: 'replicateKey',
        tags: ['Keys'],
        summary: 'Make a replica of a multi-Region key',
        description:
          "A key of its own, in the Region of its provider, with the key id and the key material of its primary key. It needs keys:update on that and keys:create at the replica's provider. What a primary alone has (usage, spec, rotation) is its primary's. A replica that the Region has already is taken into management, unless somebody else's ownership tag is on it.",
        params: KeyParams,
        querystring: TakeQuery,
        headers: writeHeaders,
        body: ref(ReplicaCreate),
        response: {
          ...writeAnswers(201, 'KMS holds the replica.', 404, 409, 413, 415),
          ...newKeyAnswers('KMS holds the replica.'),
        },
      },
    },
    async (request, reply) => {
      const command = commandOf(request, reply);
      return sendNewKey(reply, await replicateKey(app.services, request.params.id, inputOf(request), command));
    },
  );
};

export default routes;

/** Makes replicas of multi-Region keys, and primary keys of replicas. */
import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import { refuseBody } from '../../plugins/bodies.ts';
import { ref } from '../../schemas/common.ts';
import { KeyParams, ReplicaCreate, TakeQuery } from '../../schemas/key.ts';
import { promoteKey } from '../../services/commands/promote.ts';
import { replicateKey } from '../../services/commands/replicate.ts';
import {
  commandOf,
  conditionalWriteHeaders,
  inputOf,
  newKeyAnswers,
  sendKey,
  sendNewKey,
  writeAnswers,
  writeHeaders,
} from './shared.ts';

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

  await app.register(promotion);
};

const promotion: FastifyPluginAsyncTypebox = async (app) => {
  app.addHook('preValidation', refuseBody);
  app.post(
    '/keys/:id/promote',
    {
      schema: {
        operationId: 'promoteKey',
        tags: ['Keys'],
        summary: 'Make a replica the primary key',
        description:
          'The primary becomes a replica of it. All records of the family follow: `replica_of`, and what a primary alone declares (its rotation). It needs keys:update on both, and both to be Enabled. A change that comes while it waits does not withdraw it: both are carried out, or taken back, together.',
        params: KeyParams,
        headers: conditionalWriteHeaders,
        response: writeAnswers(200, 'The key is the primary key.', 404, 409, 412),
      },
    },
    async (request, reply) =>
      sendKey(reply, await promoteKey(app.services, request.params.id, commandOf(request, reply)), 200),
  );
};

export default routes;

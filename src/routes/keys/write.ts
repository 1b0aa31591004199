/** Creates, changes and imports keys. */
import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import { acceptJson } from '../../plugins/bodies.ts';
import { ref } from '../../schemas/common.ts';
import { KeyCreate, KeyImport, KeyParams, KeyPatch } from '../../schemas/key.ts';
import { type Accepted, createKey, updateKey } from '../../services/keys/commands.ts';
import { importKey } from '../../services/keys/import.ts';
import { invalidInput } from '../../services/problems.ts';
import {
  commandOf,
  conditionalWriteHeaders,
  inputOf,
  keyAnswer,
  sendKey,
  writeAnswers,
  writeHeaders,
} from './shared.ts';

const location = { Location: { type: 'string', description: 'The path of the key.' } };

const routes: FastifyPluginAsyncTypebox = async (app) => {
  app.post(
    '/keys',
    {
      attachValidation: true,
      schema: {
        operationId: 'createKey',
        tags: ['Keys'],
        summary: 'Create a key',
        headers: writeHeaders,
        body: ref(KeyCreate),
        response: {
          ...writeAnswers(201, 'KMS holds the key.', 409, 413, 415),
          201: keyAnswer('KMS holds the key.', location),
        },
      },
    },
    async (request, reply) => {
      const input = inputOf(request);
      return sendNewKey(reply, await createKey(app.services, input, commandOf(request, reply)));
    },
  );

  app.post(
    '/keys/import',
    {
      attachValidation: true,
      schema: {
        operationId: 'importKey',
        tags: ['Keys'],
        summary: 'Take a key that exists in KMS into management',
        headers: writeHeaders,
        body: ref(KeyImport),
        response: {
          ...writeAnswers(201, 'The key is managed.', 404, 409, 413, 415),
          201: keyAnswer('The key is managed.', location),
        },
      },
    },
    async (request, reply) => {
      const { violations } = inputOf(request);
      if (violations.length > 0) throw invalidInput(violations);
      const { key_id, provider = 'default' } = request.body;
      return sendNewKey(reply, await importKey(app.services, { key_id, provider }, commandOf(request, reply)));
    },
  );

  await app.register(patchRoute);
};

const patchRoute: FastifyPluginAsyncTypebox = async (app) => {
  acceptJson(app, 'application/merge-patch+json');
  app.patch(
    '/keys/:id',
    {
      attachValidation: true,
      schema: {
        operationId: 'updateKey',
        tags: ['Keys'],
        summary: 'Change a key',
        description: 'RFC 7396 JSON Merge Patch: absent fields stay, null restores a default.',
        consumes: ['application/merge-patch+json', 'application/json'],
        params: KeyParams,
        headers: conditionalWriteHeaders,
        body: ref(KeyPatch),
        response: writeAnswers(200, 'KMS holds the change.', 404, 409, 412, 413, 415),
      },
    },
    async (request, reply) => {
      const command = commandOf(request, reply);
      return sendKey(reply, await updateKey(app.services, request.params.id, inputOf(request), command), 200);
    },
  );
};

function sendNewKey(reply: Parameters<typeof sendKey>[0], accepted: Accepted) {
  return sendKey(reply.header('location', `/v1/keys/${accepted.row.id}`), accepted, 201);
}

export default routes;

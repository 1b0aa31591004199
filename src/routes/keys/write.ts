/** Creates, changes and imports keys. */
import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import { acceptJson, refuseBody } from '../../plugins/bodies.ts';
import { problems, ref } from '../../schemas/common.ts';
import { KeyCreate, KeyImport, KeyParams, KeyPatch, KeyPut, TakeQuery } from '../../schemas/key.ts';
import { createKey } from '../../services/commands/create.ts';
import { updateKey } from '../../services/commands/declare.ts';
import { importKey } from '../../services/commands/import.ts';
import { putKey } from '../../services/commands/put.ts';
import { recreateKey, replaceKey } from '../../services/commands/replace.ts';
import {
  assertValidBody,
  commandOf,
  conditionalWriteHeaders,
  inputOf,
  keyAnswer,
  newKeyAnswers,
  sendKey,
  sendNewKey,
  writeAnswers,
  writeHeaders,
} from './shared.ts';

const putHeaders = {
  type: 'object',
  properties: {
    ...conditionalWriteHeaders.properties,
    'if-none-match': {
      type: 'string',
      description: '`*`: only make the key, 412 where there is one. An ETag: 412 while it is current.',
    },
  },
};

const routes: FastifyPluginAsyncTypebox = async (app) => {
  app.post(
    '/keys',
    {
      attachValidation: true,
      schema: {
        operationId: 'createKey',
        tags: ['Keys'],
        summary: 'Create a key',
        description:
          'Makes exactly one KMS key, whatever crashes meanwhile. A create that KMS refuses within the wait leaves no record and is 422; later, the key stays with `state: failed`. `replicate_to` makes replicas of a multi-Region key with it, and the answer waits for them too: one that KMS refuses stays as a record with `state: failed`, which `status.replicas` shows.',
        headers: writeHeaders,
        querystring: TakeQuery,
        body: ref(KeyCreate),
        response: {
          ...writeAnswers(201, 'KMS holds the key.', 409, 413, 415),
          ...newKeyAnswers('KMS holds the key.'),
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
        description:
          'What KMS has becomes the desired state. Nothing in KMS is changed but the ownership tag. 409 names the key that is managed already.',
        headers: writeHeaders,
        body: ref(KeyImport),
        response: {
          ...writeAnswers(201, 'The key is managed.', 404, 409, 413, 415),
          ...newKeyAnswers('The key is managed.'),
        },
      },
    },
    async (request, reply) => {
      assertValidBody(request);
      const { key_id, provider } = request.body;
      const wanted = { key_id, provider: provider ?? 'default' };
      return sendNewKey(reply, await importKey(app.services, wanted, commandOf(request, reply)));
    },
  );

  app.put(
    '/keys/:id',
    {
      attachValidation: true,
      schema: {
        operationId: 'putKey',
        tags: ['Keys'],
        summary: 'Declare the whole of a key, under an id of your own',
        description:
          'The body is that of POST, without `replicate_to`. Makes the key where there is none of that id; else the declared state becomes exactly this: what the body leaves out gets its default, the provider too. An immutable field that would change is 422. The id is any UUID of yours; that of a key which was released is 409.',
        params: KeyParams,
        headers: putHeaders,
        querystring: TakeQuery,
        body: ref(KeyPut),
        response: {
          ...writeAnswers(200, 'The key was there, and KMS holds what is declared.', 404, 409, 412, 413, 415),
          ...newKeyAnswers('The key is new, and KMS holds it.'),
        },
      },
    },
    async (request, reply) => {
      const command = { ...commandOf(request, reply), ifNoneMatch: request.headers['if-none-match'] };
      const put = await putKey(app.services, request.params.id, inputOf(request), command);
      return put.isNew ? sendNewKey(reply, put) : sendKey(reply, put, 200);
    },
  );

  await app.register(patchRoute);
  await app.register(replacementRoutes);
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
        description:
          'JSON Merge Patch (RFC 7396): absent fields stay, null restores a default. Each field is one value, replaced whole, a policy too; tags alone merge, by name. Also taken as application/merge-patch+json. A change that KMS refuses is taken back whole.',
        params: KeyParams,
        headers: conditionalWriteHeaders,
        querystring: TakeQuery,
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

const replacementRoutes: FastifyPluginAsyncTypebox = async (app) => {
  acceptJson(app, 'application/merge-patch+json');
  app.post(
    '/keys/:id/replace',
    {
      attachValidation: true,
      schema: {
        operationId: 'replaceKey',
        tags: ['Keys'],
        summary: 'Replace the KMS key by one with other immutable arguments',
        description:
          "The body is that of PATCH, with new values for immutable fields. A new KMS key is made, the record moves to it, and the old one's deletion is scheduled with its window: what it encrypted has to be encrypted anew before that.",
        params: KeyParams,
        headers: conditionalWriteHeaders,
        querystring: TakeQuery,
        body: ref(KeyPatch),
        response: writeAnswers(200, 'The record has the new KMS key.', 404, 409, 412, 413, 415),
      },
    },
    async (request, reply) => {
      const command = commandOf(request, reply);
      return sendKey(reply, await replaceKey(app.services, request.params.id, inputOf(request), command), 200);
    },
  );

  app.post(
    '/keys/:id/recreate',
    {
      preValidation: refuseBody,
      schema: {
        operationId: 'recreateKey',
        tags: ['Keys'],
        summary: 'Make a new KMS key for a record whose key KMS has lost',
        description: `Only for a key that is gone from KMS for good. ${dataIsLost}`,
        params: KeyParams,
        headers: conditionalWriteHeaders,
        response: {
          200: keyAnswer(`The record has a new KMS key. ${dataIsLost}`, warningHeader),
          202: keyAnswer('Recorded; the sync goes on. `status` tells how.', warningHeader),
          ...problems(404, 409, 412, 422),
        },
      },
    },
    async (request, reply) => {
      const accepted = await recreateKey(app.services, request.params.id, commandOf(request, reply));
      return sendKey(reply.header('keyward-warning', dataIsLost), accepted, 200);
    },
  );
};

const warningHeader = { 'Keyward-Warning': { type: 'string', description: 'What is lost.' } };
const dataIsLost = 'Data that was encrypted under the lost key cannot be decrypted any more.';

export default routes;

/** Tells which KMS key is a record's, where Keyward can't. */
import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import { ref } from '../../schemas/common.ts';
import { KeyParams, KeyResolution } from '../../schemas/key.ts';
import { resolveKey } from '../../services/commands/resolve.ts';
import { assertValidBody, commandOf, conditionalWriteHeaders, sendKey, writeAnswers } from './shared.ts';

const routes: FastifyPluginAsyncTypebox = async (app) => {
  app.post(
    '/keys/:id/resolve',
    {
      attachValidation: true,
      schema: {
        operationId: 'resolveKey',
        tags: ['Keys'],
        summary: 'Say whether a KMS key is the one of this record',
        description:
          'For a record whose `status.error` is KeyNotReadable, DuplicateKeys or KeyNotProven: a CreateKey may have made a key that KMS does not let Keyward read, several keys carry the ownership tag, or the key of a record that is to be deleted is known by its tag alone.',
        params: KeyParams,
        headers: conditionalWriteHeaders,
        body: ref(KeyResolution),
        response: writeAnswers(200, 'KMS holds the key.', 404, 409, 412, 413, 415),
      },
    },
    async (request, reply) => {
      assertValidBody(request);
      const accepted = await resolveKey(app.services, request.params.id, request.body, commandOf(request, reply));
      return sendKey(reply, accepted, 200);
    },
  );
};

export default routes;

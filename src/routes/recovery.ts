/** What to do after a gap: the report, and the go. */
import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import { actorOf, rightsOf } from '../plugins/auth.ts';
import { problems, ref } from '../schemas/common.ts';
import { HeldKeyQuery, RecoveryResume } from '../schemas/recovery.ts';
import { assertSeesAllKeys } from '../services/access/keys.ts';
import { resume } from '../services/commands/resume.ts';
import { listHeldKeys, showRecovery } from '../services/recovery/report.ts';
import { assertValidBody, jsonAnswer, writeHeaders } from './keys/shared.ts';

const routes: FastifyPluginAsyncTypebox = async (app) => {
  app.get(
    '/recovery',
    {
      schema: {
        operationId: 'getRecovery',
        tags: ['Recovery'],
        summary: 'Are keys held, because the database is older than the world?',
        description:
          'After a restored backup, lost commits or a long silence, nothing is written to KMS for keys that differ.',
        response: { 200: jsonAnswer('How the recovery goes on.', 'Recovery'), ...problems() },
      },
    },
    async (request) => showRecovery(app.services, rightsOf(request).access),
  );

  app.get(
    '/recovery/keys',
    {
      schema: {
        operationId: 'listHeldKeys',
        tags: ['Recovery'],
        summary: 'List the keys that are held, with what differs from what was last recorded',
        description: 'Those that were not compared with KMS yet are listed without differences.',
        querystring: HeldKeyQuery,
        response: { 200: jsonAnswer('A page.', 'HeldKeyList'), ...problems() },
      },
    },
    async (request) => {
      assertSeesAllKeys(rightsOf(request));
      const { items, nextCursor } = await listHeldKeys(app.services, request.query);
      return { items, next_cursor: nextCursor };
    },
  );

  app.post(
    '/recovery/resume',
    {
      attachValidation: true,
      schema: {
        operationId: 'resumeHeldKeys',
        tags: ['Recovery'],
        summary: 'Keep what KMS has of held keys, or have what is declared enforced',
        description: 'Keys that were not compared with KMS yet stay held, and are counted in the answer.',
        headers: { ...writeHeaders, properties: { 'idempotency-key': writeHeaders.properties['idempotency-key'] } },
        body: ref(RecoveryResume),
        response: { 202: jsonAnswer('Their syncs carry it out.', 'RecoveryResumed'), ...problems(404, 415, 422) },
      },
    },
    async (request, reply) => {
      assertSeesAllKeys(rightsOf(request));
      assertValidBody(request);
      return reply.code(202).send(await resume(app.services, request.body, actorOf(request)));
    },
  );
};

export default routes;

/** Tells what a write would do. */
import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import { rightsOf } from '../../plugins/auth.ts';
import { acceptJson } from '../../plugins/bodies.ts';
import { problems, ref } from '../../schemas/common.ts';
import { KeyCreate, KeyParams, KeyPatch } from '../../schemas/key.ts';
import { planCreate, planUpdate } from '../../services/commands/plan.ts';
import { inputOf, jsonAnswer } from './shared.ts';

const routes: FastifyPluginAsyncTypebox = async (app) => {
  app.post(
    '/keys/plan',
    {
      attachValidation: true,
      schema: {
        operationId: 'planCreateKey',
        tags: ['Keys'],
        summary: 'Tell what creating a key would do',
        description: 'Records nothing and changes nothing.',
        body: ref(KeyCreate),
        response: { 200: jsonAnswer('The plan.', 'Plan'), ...problems(413, 415, 422) },
      },
    },
    async (request, reply) =>
      reply.type('application/json').send(await planCreate(app.services, inputOf(request), rightsOf(request))),
  );

  await app.register(patchPlan);
};

const patchPlan: FastifyPluginAsyncTypebox = async (app) => {
  acceptJson(app, 'application/merge-patch+json');
  app.post(
    '/keys/:id/plan',
    {
      attachValidation: true,
      schema: {
        operationId: 'planUpdateKey',
        tags: ['Keys'],
        summary: 'Tell what changing a key would do',
        description:
          'The body is that of PATCH; {} asks what the next sync would do. Looks at KMS afresh, records nothing and changes nothing.',
        params: KeyParams,
        body: ref(KeyPatch),
        response: { 200: jsonAnswer('The plan.', 'Plan'), ...problems(404, 409, 413, 415, 422) },
      },
    },
    async (request, reply) => {
      const plan = await planUpdate(app.services, request.params.id, inputOf(request), rightsOf(request));
      return reply.type('application/json').send(plan);
    },
  );
};

export default routes;

/** Keys as a configuration for Terraform. */
import { Readable } from 'node:stream';
import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import { rightsOf } from '../plugins/auth.ts';
import { problems } from '../schemas/common.ts';
import { KeyParams } from '../schemas/key.ts';
import { TerraformQuery } from '../schemas/key-lines.ts';
import { terraformOf, terraformOfKey } from '../services/keys/terraform.ts';

const textType = 'text/plain; charset=utf-8';

const hcl = {
  description: 'The configuration, in HCL.',
  content: { 'text/plain': { schema: { type: 'string' } } },
};

const routes: FastifyPluginAsyncTypebox = async (app) => {
  app.get(
    '/terraform',
    {
      schema: {
        operationId: 'exportTerraform',
        tags: ['Keys'],
        summary: 'Read keys as a configuration for Terraform',
        description:
          "An `import` block and a resource `aws_kms_key` for each key, and a provider block for each provider. A plan imports the keys and finds nothing to change but what drift there is, and the deletion windows and lockout checks that KMS does not tell. Keys that Terraform could not take over are comments. A role's external id becomes a variable. An answer that breaks off is not whole.",
        querystring: TerraformQuery,
        response: { 200: hcl, ...problems(404) },
      },
    },
    async (request, reply) => {
      const pieces = await terraformOf(app.services, request.query.provider, rightsOf(request).access);
      return reply.type(textType).send(Readable.from(request.method === 'HEAD' ? [] : pieces, { objectMode: false }));
    },
  );

  app.get(
    '/keys/:id/terraform',
    {
      schema: {
        operationId: 'getKeyTerraform',
        tags: ['Keys'],
        summary: 'Read a key as a configuration for Terraform',
        description: 'As `GET /v1/terraform`, of one key. 409 for a key that Terraform could not take over.',
        params: KeyParams,
        response: { 200: hcl, ...problems(404, 409) },
      },
    },
    async (request, reply) => {
      const text = await terraformOfKey(app.services, request.params.id, rightsOf(request).access);
      return reply.type(textType).send(text);
    },
  );
};

export default routes;

/** The OpenAPI document, made from the schemas of the routes, and a page to read and try it. */
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import swagger from '@fastify/swagger';
import swaggerUi from '@fastify/swagger-ui';
import fp from 'fastify-plugin';
import { ProblemError, type ProblemKind, problemKinds } from '../services/problems.ts';

const problemPages = path.resolve(import.meta.dirname, '../../docs/problems');

export default fp(
  async (app) => {
    await app.register(swagger, {
      openapi: {
        openapi: '3.1.0',
        info: {
          title: 'Keyward',
          version: '0.1.0',
          description: 'Keeps AWS KMS keys in the state that their owners declared.',
          license: { name: 'Apache-2.0', identifier: 'Apache-2.0' },
        },
        tags: [
          { name: 'Keys', description: "Terraform's aws_kms_key over HTTP." },
          { name: 'History', description: 'What was declared, and what happened.' },
          { name: 'Recovery', description: 'After a restored backup, or another gap.' },
          { name: 'Access', description: 'Who may do what.' },
          { name: 'Service', description: 'The service itself.' },
        ],
        servers: [{ url: '/' }],
        components: {
          securitySchemes: {
            bearer: {
              type: 'http',
              scheme: 'bearer',
              description: 'An API token, or a JWT of an issuer: docs/access.md.',
            },
          },
        },
      },
      refResolver: {
        buildLocalReference: (schema, _base, _fragment, index) =>
          typeof schema['$id'] === 'string' ? schema['$id'] : `Schema${index}`,
      },
    });
    await app.register(swaggerUi, { routePrefix: '/docs', uiConfig: { displayRequestDuration: true } });
    const hidden = { schema: { hide: true } };
    app.get('/openapi.json', hidden, async () => app.swagger());
    app.get('/openapi.yaml', hidden, async (_request, reply) => {
      const { stringify } = await import('yaml');
      return reply.type('application/yaml').send(stringify(app.swagger(), { aliasDuplicateObjects: false }));
    });
    app.get<{ Params: { kind: string } }>('/problems/:kind', hidden, async (request, reply) => {
      const { kind } = request.params;
      if (!Object.hasOwn(problemKinds, kind)) throw new ProblemError('not-found', `There is no problem ${kind}.`);
      const page = await readFile(path.join(problemPages, `${kind as ProblemKind}.md`), 'utf8');
      return reply.type('text/markdown; charset=utf-8').send(page);
    });
  },
  { name: 'docs' },
);

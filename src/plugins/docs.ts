/** The OpenAPI document, made from the schemas of the routes. */
import swagger from '@fastify/swagger';
import fp from 'fastify-plugin';
import { complete } from './openapi.ts';

const introduction = `Keeps AWS KMS keys in the state that their owners declared: the arguments, defaults and limits are those of
Terraform's \`aws_kms_key\`.

- A write is recorded, and waits for KMS: 200, 201 or 204 when that is done, 202 while it goes on (\`Prefer: wait=N\`).
- Every error is a problem by RFC 9457. Whatever the operation, a method that a path does not take is 405 with \`Allow\`.
- New fields in answers, and new values of fields with \`x-extensible-enum\`, come without notice: see docs/versioning.md.`;

export default fp(
  async (app) => {
    await app.register(swagger, {
      openapi: {
        openapi: '3.1.0',
        info: {
          title: 'Keyward',
          version: '0.1.0',
          description: introduction,
          contact: { name: 'The maintainers of Keyward' },
          license: { name: 'Apache-2.0', identifier: 'Apache-2.0' },
        },
        tags: [
          {
            name: 'Keys',
            description: "Terraform's `aws_kms_key` over HTTP: declare, change, delete, import, observe.",
          },
          { name: 'Providers', description: 'Accounts and Regions, and what holds for all keys in them.' },
          { name: 'History', description: 'What was declared, and what happened.' },
          { name: 'Imports', description: 'Many keys that exist in KMS, taken into management at once.' },
          { name: 'Recovery', description: 'After a restored backup, or another gap: what is held, and the go.' },
          { name: 'Access', description: 'Who may do what: tokens, roles, bindings.' },
          { name: 'Service', description: 'The service itself: is it up, can it work, what does it measure.' },
        ],
        servers: [
          { url: app.services.web.publicUrl ?? '/', description: 'The service that this document comes from.' },
        ],
        components: {
          securitySchemes: {
            bearer: {
              type: 'http',
              scheme: 'bearer',
              description: 'An API token, or a JWT of an issuer: docs/access.md. Not asked for with AUTH_MODE=none.',
            },
          },
        },
        security: [{ bearer: [] }, {}],
      },
      transformObject: (document) =>
        'openapiObject' in document
          ? (complete(document.openapiObject as Parameters<typeof complete>[0]) as typeof document.openapiObject)
          : document.swaggerObject,
      refResolver: {
        buildLocalReference: (schema, _base, _fragment, index) =>
          typeof schema['$id'] === 'string' ? schema['$id'] : `Schema${index}`,
      },
    });
    const hidden = { schema: { hide: true } };
    app.get('/openapi.json', hidden, async () => app.swagger());
    app.get('/openapi.yaml', hidden, async (_request, reply) => {
      const { stringify } = await import('yaml');
      return reply.type('application/yaml').send(stringify(app.swagger(), { aliasDuplicateObjects: false }));
    });
  },
  { name: 'docs' },
);

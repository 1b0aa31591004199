/** Takes many keys into management at once. */
import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import type { FastifyRequest } from 'fastify';
import type { Static } from 'typebox';
import { actorOf, callerOf } from '../plugins/auth.ts';
import { refuseBody } from '../plugins/bodies.ts';
import { acceptStates } from '../plugins/states.ts';
import { problems, ref } from '../schemas/common.ts';
import { PageQuery } from '../schemas/history.ts';
import { ImportCreate, ImportItemQuery, ImportQuery } from '../schemas/imports.ts';
import { KeyParams } from '../schemas/key.ts';
import { cancelImport, createImport, createImportOfState, type ImportCommand } from '../services/imports/commands.ts';
import { listImportItems, listImports, showImport } from '../services/imports/show.ts';
import { StateFile } from '../services/imports/state-reader.ts';
import { ProblemError } from '../services/problems.ts';
import { assertValidBody, jsonAnswer, writeHeaders } from './keys/shared.ts';

const tags = ['Imports'];
const headers = {
  type: 'object',
  properties: { 'idempotency-key': writeHeaders.properties['idempotency-key'] },
};
const location = { Location: { type: 'string', description: 'The path of the import.' } };

const routes: FastifyPluginAsyncTypebox = async (app) => {
  acceptStates(app);

  app.post(
    '/imports',
    {
      attachValidation: true,
      schema: {
        operationId: 'createImport',
        tags,
        summary: 'Take many keys that exist in KMS into management',
        description:
          'What KMS has becomes the desired state of each key. Nothing in KMS is changed but the ownership tags, which follow at their own quota. It goes on by itself: watch it, and its keys. The same import again changes nothing.\n\nA Terraform state of up to 64 MiB may be the body itself, as `application/vnd.keyward.tfstate+json`, with the rest as parameters; it is read as it comes.',
        headers,
        querystring: ImportQuery,
        body: ref(ImportCreate),
        response: {
          202: { ...jsonAnswer('It goes on.', 'Import'), headers: location },
          ...problems(413, 415, 422),
        },
      },
    },
    async (request, reply) => {
      const id = await ask(request);
      return reply
        .code(202)
        .header('location', `/v1/imports/${id}`)
        .send(await showImport(app.services, id, callerOf(request)));
    },
  );

  app.get(
    '/imports',
    {
      schema: {
        operationId: 'listImports',
        tags,
        summary: 'List the imports, newest first',
        description:
          "Your own; whoever sees all keys sees all imports. WORK_RETENTION_DAYS bounds how long they're kept.",
        querystring: PageQuery,
        response: { 200: jsonAnswer('A page.', 'ImportList'), ...problems() },
      },
    },
    async (request) => listImports(app.services, request.query, callerOf(request)),
  );

  app.get(
    '/imports/:id',
    {
      schema: {
        operationId: 'getImport',
        tags,
        summary: 'How far is an import?',
        description: 'Keys by their outcome, how fast it goes, and when it will be over.',
        params: KeyParams,
        response: { 200: jsonAnswer('The import.', 'Import'), ...problems(404) },
      },
    },
    async (request) => showImport(app.services, request.params.id, callerOf(request)),
  );

  app.get(
    '/imports/:id/items',
    {
      schema: {
        operationId: 'listImportItems',
        tags,
        summary: 'List the keys of an import, with what became of each, and why',
        description: 'In the order in which they were found.',
        params: KeyParams,
        querystring: ImportItemQuery,
        response: { 200: jsonAnswer('A page.', 'ImportItemList'), ...problems(404) },
      },
    },
    async (request) => listImportItems(app.services, request.params.id, request.query, callerOf(request)),
  );

  app.post(
    '/imports/:id/cancel',
    {
      preValidation: refuseBody,
      schema: {
        operationId: 'cancelImport',
        tags,
        summary: 'End an import before its end',
        description: 'No further key is imported; those that were stay. To release them is another request.',
        params: KeyParams,
        headers,
        response: { 200: jsonAnswer('It is over.', 'Import'), ...problems(404, 409) },
      },
    },
    async (request) => {
      await cancelImport(app.services, request.params.id, importCommandOf(request));
      return showImport(app.services, request.params.id, callerOf(request));
    },
  );
};

/** A state file is the body itself, and the rest are parameters; else all is in the body. */
async function ask(request: FastifyRequest): Promise<string> {
  const { services } = request.server;
  const command = importCommandOf(request);
  const query = request.query as Static<typeof ImportQuery>;
  const body: unknown = request.body;
  if (body instanceof StateFile) return createImportOfState(services, query, body, command);
  assertValidBody(request);
  const [parameter] = Object.keys(query);
  if (parameter !== undefined) {
    const detail = `With a body of application/json, ${parameter} is a member of the body.`;
    const errors = [{ parameter, code: 'incompatible' as const, detail }];
    throw new ProblemError('malformed-request', `${parameter}: ${detail}`, { errors });
  }
  return createImport(services, body as ImportCreate, command);
}

function importCommandOf(request: FastifyRequest): ImportCommand {
  return { ...actorOf(request), caller: callerOf(request), commandId: request.idempotency?.commandId };
}

export default routes;

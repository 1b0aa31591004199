/** Providers: accounts and Regions, and what holds for all keys in them. */
import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import type { FastifyReply } from 'fastify';
import { isCurrent } from '../domain/entity-tag.ts';
import { actorOf, rightsOf } from '../plugins/auth.ts';
import { acceptJson, refuseBody } from '../plugins/bodies.ts';
import { problems, ref } from '../schemas/common.ts';
import { ProviderCreate, ProviderListQuery, ProviderParams, ProviderPatch } from '../schemas/provider.ts';
import { checkProvider } from '../services/providers/check.ts';
import { createProvider, deleteProvider, type ProviderRow, updateProvider } from '../services/providers/commands.ts';
import { findProvider, listProviders, providerTag, showProvider } from '../services/providers/list.ts';
import { idempotencyKeyText, inputOf, jsonAnswer, notModified, readHeaders } from './keys/shared.ts';

const idempotencyHeader = {
  'idempotency-key': {
    type: 'string',
    description: idempotencyKeyText,
  },
};
const writeHeaders = { type: 'object', properties: idempotencyHeader };
const conditionalHeaders = {
  type: 'object',
  properties: {
    ...idempotencyHeader,
    'if-match': { type: 'string', description: 'An ETag; 412 when its version is not the current one.' },
  },
};
const etag = {
  ETag: { type: 'string', description: '`"<version>.<digest>"`; the version moves with every change of the settings.' },
};
const location = { Location: { type: 'string', description: 'The path of the provider.' } };

const routes: FastifyPluginAsyncTypebox = async (app) => {
  const send = async (reply: FastifyReply, row: ProviderRow, status: number) => {
    const shown = await showProvider(app.services, row, rightsOf(reply.request).access);
    return reply.code(status).header('etag', providerTag(row, shown)).type('application/json').send(shown);
  };

  app.get(
    '/providers',
    {
      schema: {
        operationId: 'listProviders',
        tags: ['Providers'],
        summary: 'List the providers, by name',
        description: 'With how far a change of their settings has come.',
        querystring: ProviderListQuery,
        response: { 200: jsonAnswer('A page.', 'ProviderList'), ...problems() },
      },
    },
    async (request) => listProviders(app.services, request.query, rightsOf(request).access),
  );

  app.post(
    '/providers',
    {
      attachValidation: true,
      schema: {
        operationId: 'createProvider',
        tags: ['Providers'],
        summary: 'Create a provider',
        description: 'Whether it can be used, `POST /v1/providers/{name}/check` tells.',
        headers: writeHeaders,
        body: ref(ProviderCreate),
        response: {
          201: { ...jsonAnswer('The provider.', 'Provider'), headers: { ...etag, ...location } },
          ...problems(409, 413, 415, 422),
        },
      },
    },
    async (request, reply) => {
      const by = actorOf(request);
      const row = await createProvider(app.services, inputOf(request), by);
      return send(reply.header('location', `/v1/providers/${row.name}`), row, 201);
    },
  );

  app.get(
    '/providers/:name',
    {
      schema: {
        operationId: 'getProvider',
        tags: ['Providers'],
        summary: 'Get a provider, and how far a change of its tags has come',
        description: 'Its credentials are in the environment of the service, and not shown.',
        params: ProviderParams,
        headers: readHeaders,
        response: {
          200: { ...jsonAnswer('The provider.', 'Provider'), headers: etag },
          304: notModified('provider', etag),
          ...problems(404),
        },
      },
    },
    async (request, reply) => {
      const { row, shown } = await findProvider(app.services, request.params.name, rightsOf(request).access);
      const tag = providerTag(row, shown);
      reply.header('etag', tag);
      if (isCurrent(request.headers['if-none-match'], tag)) return reply.code(304).send();
      return reply.type('application/json').send(shown);
    },
  );

  app.delete(
    '/providers/:name',
    {
      preValidation: refuseBody,
      schema: {
        operationId: 'deleteProvider',
        tags: ['Providers'],
        summary: 'Delete a provider that has no keys',
        description: 'One with keys is 409: release or delete them first.',
        params: ProviderParams,
        headers: conditionalHeaders,
        response: { 204: { type: 'null', description: 'It is gone.' }, ...problems(404, 409, 412) },
      },
    },
    async (request, reply) => {
      const by = { ...actorOf(request), ifMatch: request.headers['if-match'] };
      await deleteProvider(app.services, request.params.name, by);
      return reply.code(204).send(null);
    },
  );

  app.post(
    '/providers/:name/check',
    {
      preValidation: refuseBody,
      schema: {
        operationId: 'checkProvider',
        tags: ['Providers'],
        summary: 'Say whether the credentials work, for which account, and with which permissions',
        description: 'Asks KMS for keys that do not exist, and for one that does to read it: nothing is changed.',
        params: ProviderParams,
        headers: writeHeaders,
        response: { 200: jsonAnswer('What was found.', 'ProviderCheck'), ...problems(404) },
      },
    },
    async (request, reply) =>
      reply.type('application/json').send(await checkProvider(app.services, request.params.name, rightsOf(request))),
  );

  await app.register(patchRoute(send));
};

const patchRoute =
  (send: (reply: FastifyReply, row: ProviderRow, status: number) => Promise<FastifyReply>): FastifyPluginAsyncTypebox =>
  async (app) => {
    acceptJson(app, 'application/merge-patch+json');
    app.patch(
      '/providers/:name',
      {
        attachValidation: true,
        schema: {
          operationId: 'updateProvider',
          tags: ['Providers'],
          summary: 'Change a provider',
          description:
            'JSON Merge Patch (RFC 7396): each field is one value, replaced whole; default_tags alone merge, by name. A change of default_tags or ignore_tags holds at once for what is declared from then on; `progress` tells how far the other keys are. It is answered when all records have it, or after ten seconds.',
          params: ProviderParams,
          headers: conditionalHeaders,
          body: ref(ProviderPatch),
          response: {
            200: { ...jsonAnswer('The provider as it is now.', 'Provider'), headers: etag },
            ...problems(404, 409, 412, 413, 415, 422),
          },
        },
      },
      async (request, reply) => {
        const by = { ...actorOf(request), ifMatch: request.headers['if-match'] };
        return send(reply, await updateProvider(app.services, request.params.name, inputOf(request), by), 200);
      },
    );
  };

export default routes;

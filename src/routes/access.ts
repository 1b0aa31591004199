/** Who may do what: who am I, roles, bindings, tokens. */
import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import { actorOf, callerOf } from '../plugins/auth.ts';
import { refuseBody } from '../plugins/bodies.ts';
import { BindingCreate, IdParams, RoleParams, RolePut, TokenCreate } from '../schemas/access.ts';
import { problems, ref } from '../schemas/common.ts';
import { PageQuery } from '../schemas/history.ts';
import * as bindings from '../services/access/bindings.ts';
import { createToken, pageOfTokens, revokeToken } from '../services/access/tokens.ts';
import { ProblemError } from '../services/problems.ts';
import { assertValidBody, jsonAnswer, writeHeaders } from './keys/shared.ts';

const tags = ['Access'];
const notKept = { 'Cache-Control': { type: 'string', description: 'no-store: it is a secret.' } };
const headers = { type: 'object', properties: { 'idempotency-key': writeHeaders.properties['idempotency-key'] } };
const gone = { 204: { type: 'null', description: 'It is gone.' } };

const routes: FastifyPluginAsyncTypebox = async (app) => {
  app.addHook('onSend', async ({ method }, { statusCode }) => {
    if (method !== 'GET' && statusCode < 300) app.services.callers.forget();
  });
  app.get(
    '/access/me',
    {
      schema: {
        operationId: 'getAccess',
        tags,
        summary: 'Who am I, and what may I do?',
        description: 'For a portal that shows each user what it may do.',
        response: { 200: jsonAnswer('The caller.', 'AccessMe'), ...problems() },
      },
    },
    async (request) => {
      const { kind, subject, groups, bindings: given, access } = callerOf(request);
      return { subject, kind, groups, bindings: given.map(bindings.toBinding), permissions: access.permissions };
    },
  );
  await app.register(roleRoutes);
  await app.register(bindingRoutes);
  await app.register(tokenRoutes);
};

const roleRoutes: FastifyPluginAsyncTypebox = async (app) => {
  app.get(
    '/access/roles',
    {
      schema: {
        operationId: 'listRoles',
        tags,
        summary: 'List the roles',
        description: 'Those that are built in, and your own, by name.',
        querystring: PageQuery,
        response: { 200: jsonAnswer('A page.', 'RoleList'), ...problems() },
      },
    },
    async (request) => bindings.pageOfRoles(app.services, request.query),
  );

  app.put(
    '/access/roles/:name',
    {
      attachValidation: true,
      schema: {
        operationId: 'putRole',
        tags,
        summary: 'Make a role, or change what it gives',
        description: 'It holds at once for all who have the role. Those that are built in stay as they are.',
        params: RoleParams,
        headers,
        body: ref(RolePut),
        response: {
          200: jsonAnswer('The role as it is now.', 'Role'),
          201: jsonAnswer('The role is new.', 'Role'),
          ...problems(409, 413, 415, 422),
        },
      },
    },
    async (request, reply) => {
      assertValidBody(request);
      const { name } = request.params;
      if (request.body.name !== undefined && request.body.name !== name) {
        const detail = 'The body names another role than the path.';
        const errors = [{ pointer: '/name', code: 'invalid_value' as const, detail }];
        throw new ProblemError('malformed-request', detail, { errors });
      }
      const wanted = { name, permissions: request.body.permissions };
      const { role, isNew } = await bindings.putRole(app.services, wanted, actorOf(request));
      return reply.code(isNew ? 201 : 200).send(role);
    },
  );

  app.delete(
    '/access/roles/:name',
    {
      preValidation: refuseBody,
      schema: {
        operationId: 'deleteRole',
        tags,
        summary: 'Delete a role that nobody has',
        description: 'One that somebody has is 409.',
        params: RoleParams,
        headers,
        response: { ...gone, ...problems(404, 409) },
      },
    },
    async (request, reply) => {
      await bindings.deleteRole(app.services, request.params.name, actorOf(request));
      return reply.code(204).send(null);
    },
  );
};

const bindingRoutes: FastifyPluginAsyncTypebox = async (app) => {
  app.get(
    '/access/bindings',
    {
      schema: {
        operationId: 'listBindings',
        tags,
        summary: 'List who has which role, and where',
        description: 'Of tokens, users and groups, oldest first.',
        querystring: PageQuery,
        response: { 200: jsonAnswer('A page.', 'BindingList'), ...problems() },
      },
    },
    async (request) => bindings.pageOfBindings(app.services, request.query),
  );

  app.post(
    '/access/bindings',
    {
      attachValidation: true,
      schema: {
        operationId: 'createBinding',
        tags,
        summary: 'Give a role to a token, a user or a group',
        description: 'Nobody gives more than they have themselves.',
        headers,
        body: ref(BindingCreate),
        response: { 201: jsonAnswer('It holds from now on.', 'Binding'), ...problems(413, 415, 422) },
      },
    },
    async (request, reply) => {
      assertValidBody(request);
      const { issuers } = app.services.callers;
      return reply.code(201).send(await bindings.createBinding(app.services, request.body, actorOf(request), issuers));
    },
  );

  app.delete(
    '/access/bindings/:id',
    {
      preValidation: refuseBody,
      schema: {
        operationId: 'deleteBinding',
        tags,
        summary: 'Take a role away',
        description:
          'It holds from the next request on. 409 where nobody would have `access:write` everywhere any more.',
        params: IdParams,
        headers,
        response: { ...gone, ...problems(404, 409) },
      },
    },
    async (request, reply) => {
      await bindings.deleteBinding(app.services, request.params.id, actorOf(request));
      return reply.code(204).send(null);
    },
  );
};

const tokenRoutes: FastifyPluginAsyncTypebox = async (app) => {
  app.get(
    '/tokens',
    {
      schema: {
        operationId: 'listTokens',
        tags,
        summary: 'List the API tokens',
        description: 'By name, and never the tokens themselves.',
        querystring: PageQuery,
        response: { 200: jsonAnswer('A page.', 'TokenList'), ...problems() },
      },
    },
    async (request) => pageOfTokens(app.services, request.query),
  );

  app.post(
    '/tokens',
    {
      attachValidation: true,
      schema: {
        operationId: 'createToken',
        tags,
        summary: 'Make an API token',
        description: 'It is shown this once, and kept nowhere: a repeat finds the name taken.',
        headers,
        body: ref(TokenCreate),
        response: {
          201: { ...jsonAnswer('The token.', 'NewToken'), headers: notKept },
          ...problems(409, 413, 415, 422),
        },
      },
    },
    async (request, reply) => {
      assertValidBody(request);
      const made = await createToken(app.services, request.body, actorOf(request));
      return reply.code(201).header('cache-control', 'no-store').send(made);
    },
  );

  app.delete(
    '/tokens/:id',
    {
      preValidation: refuseBody,
      schema: {
        operationId: 'deleteToken',
        tags,
        summary: 'Revoke an API token',
        description:
          'Every process refuses it within five seconds. What was given to it is taken away. 409 where nobody would have `access:write` everywhere any more: `npm run tokens` on the host revokes it.',
        params: IdParams,
        headers,
        response: { ...gone, ...problems(404, 409) },
      },
    },
    async (request, reply) => {
      await revokeToken(app.services, request.params.id, actorOf(request));
      return reply.code(204).send(null);
    },
  );
};

export default routes;

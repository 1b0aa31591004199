/** Reads keys: one, or a page of them. */
import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { markOf } from '../../domain/access.ts';
import { isCurrent, tagFor } from '../../domain/entity-tag.ts';
import { rightsOf } from '../../plugins/auth.ts';
import { problems } from '../../schemas/common.ts';
import { KeyParams } from '../../schemas/key.ts';
import { KeyFilters, KeyListQuery, KeyLookup } from '../../schemas/key-list.ts';
import { placeOf } from '../../services/access/keys.ts';
import { findKey } from '../../services/keys/find.ts';
import { listKeys } from '../../services/keys/list.ts';
import { findKeyByName } from '../../services/keys/look-up.ts';
import { entityTag, toKey } from '../../services/keys/representation.ts';
import { summarizeKeys } from '../../services/keys/summary.ts';
import type { KeyRow } from '../../services/rows/key-row.ts';
import { jsonAnswer, keyAnswer } from './shared.ts';

const readHeaders = {
  type: 'object',
  properties: {
    'if-none-match': { type: 'string', description: 'An ETag; 304 while it is current.' },
  },
};

const keyAnswers = {
  200: keyAnswer('The key.'),
  304: { description: 'The key is as the ETag says.', type: 'null' },
};

function sendRead(request: FastifyRequest, reply: FastifyReply, row: KeyRow) {
  const { gap } = reply.server.services.watch;
  const allowed_actions = rightsOf(request).access.permissionsFor(placeOf(row));
  const tag = tagFor(entityTag(row, gap), markOf(allowed_actions));
  reply.header('etag', tag);
  if (isCurrent(request.headers['if-none-match'], tag)) return reply.code(304).send();
  return reply.type('application/json').send({ ...toKey(row, gap), allowed_actions });
}

const routes: FastifyPluginAsyncTypebox = async (app) => {
  app.get(
    '/keys',
    {
      schema: {
        operationId: 'listKeys',
        tags: ['Keys'],
        summary: 'List keys',
        description:
          'Newest first, unless `sort` says otherwise. All filters must hold. Deleted keys are listed only with `state=deleted`.',
        querystring: KeyListQuery,
        response: {
          200: { description: 'A page.', content: { 'application/json': { schema: { $ref: 'KeyList#' } } } },
          ...problems(),
        },
      },
    },
    async (request) => {
      const { rows, nextCursor } = await listKeys(app.services, request.query, rightsOf(request).access);
      const { gap } = app.services.watch;
      return { items: rows.map((row) => ({ ...toKey(row, gap), etag: entityTag(row, gap) })), next_cursor: nextCursor };
    },
  );

  app.get(
    '/keys/summary',
    {
      schema: {
        operationId: 'summarizeKeys',
        tags: ['Keys'],
        summary: 'Count keys by state, provider, usage and spec',
        description: 'With the filters of the list. Deleted keys are counted only with `state=deleted`.',
        querystring: KeyFilters,
        response: { 200: jsonAnswer('The counts.', 'KeySummary'), ...problems() },
      },
    },
    async (request) => summarizeKeys(app.services, request.query, rightsOf(request).access),
  );

  app.get(
    '/keys/lookup',
    {
      schema: {
        operationId: 'lookUpKey',
        tags: ['Keys'],
        summary: 'Read a key by its id, key id or ARN',
        description: 'As it is on record, as `GET /v1/keys/{id}` shows it. 409 where several keys have that key id.',
        querystring: KeyLookup,
        headers: readHeaders,
        response: { ...keyAnswers, ...problems(404, 409) },
      },
    },
    async (request, reply) => {
      return sendRead(request, reply, await findKeyByName(app.services, request.query.key, rightsOf(request).access));
    },
  );

  app.get(
    '/keys/:id',
    {
      schema: {
        operationId: 'getKey',
        tags: ['Keys'],
        summary: 'Read a key',
        description: 'As it is on record, without asking KMS: `status.last_observed_at` says how old that is.',
        params: KeyParams,
        headers: readHeaders,
        response: {
          ...keyAnswers,
          ...problems(404),
        },
      },
    },
    async (request, reply) => {
      return sendRead(request, reply, await findKey(app.services, request.params.id));
    },
  );
};

export default routes;

/** Reads keys: one, or a page of them. */
import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { markOf } from '../../domain/access.ts';
import { isCurrent, tagFor } from '../../domain/entity-tag.ts';
import { rightsOf } from '../../plugins/auth.ts';
import { problems } from '../../schemas/common.ts';
import { type Key, type KeyField, KeyParams, KeyQuery, partialType } from '../../schemas/key.ts';
import { KeyFilters, KeyListQuery, KeyLookup } from '../../schemas/key-list.ts';
import { placeOf } from '../../services/access/keys.ts';
import { findKey } from '../../services/keys/find.ts';
import { listKeys } from '../../services/keys/list.ts';
import { findKeyByName } from '../../services/keys/look-up.ts';
import { markOfRelatives, relativesOf } from '../../services/keys/relatives.ts';
import { entityTag, toKey } from '../../services/keys/representation.ts';
import { summarizeKeys } from '../../services/keys/summary.ts';
import type { KeyRow } from '../../services/rows/key-row.ts';
import { etagHeader, jsonAnswer, notModified, readHeaders } from './shared.ts';

const keyAnswers = {
  200: { ...jsonAnswer('The key.', 'Key'), headers: etagHeader },
  304: notModified('key', etagHeader),
};

/** @param fields those that are asked for; undefined: all. */
async function sendRead(request: FastifyRequest, reply: FastifyReply, row: KeyRow, fields?: KeyField[]) {
  const { services } = reply.server;
  const { gap } = services.watch;
  const { access } = rightsOf(request);
  const allowed_actions = access.permissionsFor(placeOf(row));
  const relatives = (await relativesOf(services, [row], access))(row);
  const tag = tagFor(entityTag(row, gap), markOf(allowed_actions) + markOfRelatives(relatives));
  reply.header('etag', tag);
  if (isCurrent(request.headers['if-none-match'], tag)) return reply.code(304).send();
  const key = { ...toKey(row, gap, relatives), allowed_actions };
  return fields === undefined
    ? reply.type('application/json').send(key)
    : reply.type(partialType).send(only({ ...key, etag: tag }, fields));
}

function only(key: Key, fields: KeyField[]): Partial<Key> {
  return Object.fromEntries(Object.entries(key).filter(([name]) => fields.includes(name as KeyField)));
}

/** An answer that has all fields in it, or those that were asked for. */
function orPartial<Answer extends { content: object }>(answer: Answer, name: string) {
  return { ...answer, content: { ...answer.content, [partialType]: { schema: { $ref: `${name}#` } } } };
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
          'Newest first, unless `sort` says otherwise. All filters must hold. Deleted keys are listed only with `state=deleted`. Whoever walks through all pages meets each key exactly once that is there throughout and keeps what it is sorted and filtered by, whatever becomes of others meanwhile.',
        querystring: KeyListQuery,
        response: {
          200: orPartial(jsonAnswer('A page.', 'KeyList'), 'KeyPartialList'),
          ...problems(),
        },
      },
    },
    async (request, reply) => {
      const { fields, ...query } = request.query;
      const { rows, nextCursor } = await listKeys(app.services, query, rightsOf(request).access);
      const { gap } = app.services.watch;
      const { access } = rightsOf(request);
      const relatives = await relativesOf(app.services, rows, access);
      const items = rows.map((row) => {
        const key = { ...toKey(row, gap, relatives(row)), etag: entityTag(row, gap) };
        if (fields === undefined) return key;
        return only({ ...key, allowed_actions: access.permissionsFor(placeOf(row)) }, fields);
      });
      reply.type(fields === undefined ? 'application/json' : partialType);
      return reply.send({ items, next_cursor: nextCursor });
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
        summary: 'Read a key by its id, key id, ARN or alias',
        description:
          'As it is on record, as `GET /v1/keys/{id}` shows it. KMS is asked for the key behind an alias that no record tells of; 503 while it does not tell. 409 where several keys have that name: `provider` says which is meant.',
        querystring: KeyLookup,
        headers: readHeaders,
        response: { ...keyAnswers, ...problems(404, 409, 422) },
      },
    },
    async (request, reply) =>
      sendRead(request, reply, await findKeyByName(app.services, request.query, rightsOf(request).access)),
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
        querystring: KeyQuery,
        headers: readHeaders,
        response: { ...keyAnswers, 200: orPartial(keyAnswers[200], 'KeyPartial'), ...problems(404) },
      },
    },
    async (request, reply) => {
      return sendRead(request, reply, await findKey(app.services, request.params.id), request.query.fields);
    },
  );
};

export default routes;

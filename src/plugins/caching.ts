/** Spares bytes: answers to reads that a client has already are 304, and what is large is compressed. */
import { createHash } from 'node:crypto';
import compress from '@fastify/compress';
import type { FastifyReply, RouteOptions } from 'fastify';
import fp from 'fastify-plugin';
import { isCurrent } from '../domain/entity-tag.ts';
import { isRead } from './requests.ts';

/** Bytes from which it pays to compress an answer. */
const threshold = 1024;

export default fp(
  async (app) => {
    app.addHook('onSend', async (request, reply, payload) => {
      if (!isRead(request)) return payload;
      if (reply.statusCode !== 200 || typeof payload !== 'string' || !request.url.startsWith('/v1/')) return payload;
      // Operations whose answers are other texts declare no tag.
      if (!String(reply.getHeader('content-type')).includes('json')) return payload;
      // A tag of its own says what the route means by it, and that is not always all that is shown.
      if (reply.hasHeader('etag')) return payload;
      const tag = tagOf(payload);
      reply.header('etag', tag);
      // Also where it is not compressed, and of a 304: what a cache keeps is for those who ask alike.
      varyByEncoding(reply);
      if (!isCurrent(request.headers['if-none-match'], tag)) return payload;
      reply.code(304).removeHeader('content-type').removeHeader('content-length');
      return '';
    });
    app.addHook('onRoute', (route) => {
      if (hasOwnTag(route)) route.config = { ...route.config, compress: false } as typeof route.config & object;
    });
    await app.register(compress, { global: true, globalDecompression: false, threshold, encodings: ['br', 'gzip'] });
  },
  { name: 'caching', dependencies: ['idempotency'] },
);

/** Such a tag is a strong one, of these bytes alone (RFC 9110, 8.8.3), which If-Match asks for: they are sent as they are. */
function hasOwnTag({ schema }: RouteOptions): boolean {
  const answers = Object.values((schema?.response ?? {}) as Record<string, { headers?: object }>);
  return answers.some(({ headers = {} }) => Object.hasOwn(headers, 'ETag'));
}

function varyByEncoding(reply: FastifyReply): void {
  const told = [reply.getHeader('vary') ?? []].flat().join(', ');
  if (/accept-encoding/i.test(told)) return;
  reply.header('vary', told === '' ? 'accept-encoding' : `${told}, accept-encoding`);
}

/** Weak: the same content, which a compressed answer has in other bytes. */
function tagOf(payload: string): string {
  return `W/"${createHash('sha256').update(payload).digest('base64url').slice(0, 22)}"`;
}

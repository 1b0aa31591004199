/**
 * Reads JSON bodies strictly: as UTF-8, without members that reach for an object's prototype, and without what would be
 * changed in silence.
 */
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import fp from 'fastify-plugin';
import { lossesIn } from '../domain/json-losses.ts';
import type { Violation } from '../domain/types.ts';
import { invalidInput, ProblemError } from '../services/problems.ts';
import { isRead } from './requests.ts';

/** Bytes; the largest policy and description fit, with every character escaped. */
export const bodyLimit = 512 * 1024;
/** The largest policy and all tags have fewer names, values, brackets and commas. To look at each takes time from everybody. */
const mostParts = 40_000;

export default fp(
  async (app) => {
    app.removeAllContentTypeParsers();
    acceptJson(app, 'application/json');
    app.addHook('onRequest', refuseEncoded);
  },
  { name: 'bodies', dependencies: ['limits'] },
);

/** @throws ProblemError for a body that is compressed. Source: RFC 9110, 15.5.16 and 12.5.3. */
async function refuseEncoded(request: FastifyRequest, reply: FastifyReply): Promise<void> {
  const encoding = request.headers['content-encoding'];
  const isNone = encoding === undefined || encoding.trim().toLowerCase() === 'identity';
  if (isNone || request.is404 || isRead(request)) return;
  reply.header('accept-encoding', 'identity');
  const detail = `The body has Content-Encoding ${JSON.stringify(encoding)}: send it without one.`;
  throw new ProblemError('unsupported-media-type', detail);
}

/** Lets the routes of this instance take bodies of a JSON media type. An empty body counts as none. */
export function acceptJson(app: FastifyInstance, mediaType: string): void {
  const read = jsonReader(app, 'The body');
  app.addContentTypeParser(mediaType, { parseAs: 'buffer' }, async (request: FastifyRequest, body: Buffer) => {
    if (body.length === 0) return undefined;
    await app.countBody(request, body.length);
    const { value, losses } = await read(request, textOf(body));
    if (losses.length > 0) throw invalidInput(losses);
    return value;
  });
}

/**
 * @param what it is that is read, in words.
 * @returns reads a text of JSON, and tells what JSON.parse has changed in it; throws ProblemError malformed-request.
 */
export function jsonReader(app: FastifyInstance, what: string) {
  const parse = app.getDefaultJsonParser('error', 'error');
  return async (request: FastifyRequest, text: string): Promise<{ value: unknown; losses: Violation[] }> => {
    const value = await new Promise((resolve, reject) => {
      parse(request, text, (error, parsed) => (error === null ? resolve(parsed) : reject(unreadable(text, what))));
    });
    return { value, losses: lossesIn(text, mostParts) };
  };
}

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: false });

/** Without a byte order mark. @throws ProblemError malformed-request */
export function textOf(body: Buffer): string {
  try {
    return utf8.decode(body);
  } catch {
    throw new ProblemError('malformed-request', 'The body is not valid UTF-8.');
  }
}

/** V8 quotes what stands around the fault, which may be a secret. */
const quotedBody = /, (?:\.\.\.)?".*"(?:\.\.\.)? is not valid JSON$/s;

/** Says what is wrong with a body: the parser calls JSON that it does not want no JSON. */
function unreadable(text: string, what: string): ProblemError {
  try {
    JSON.parse(text);
  } catch (reason) {
    const words = (reason as Error).message.replace(quotedBody, '');
    return new ProblemError('malformed-request', `${what} is not valid JSON: ${words}.`);
  }
  const detail = `${what} has a member named __proto__, or a constructor with a prototype: neither is taken.`;
  return new ProblemError('malformed-request', detail);
}

/** For operations that take no body. @throws ProblemError when there is something in it. */
export async function refuseBody({ body }: FastifyRequest): Promise<void> {
  const isEmpty = body === undefined || body === null || (typeof body === 'object' && Object.keys(body).length === 0);
  if (!isEmpty) throw new ProblemError('malformed-request', 'This operation takes no body.');
}

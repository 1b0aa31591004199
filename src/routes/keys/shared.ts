/** What the routes of keys have in common. */
import type { FastifyReply, FastifyRequest } from 'fastify';
import { unstorableTexts } from '../../domain/text.ts';
import type { Json } from '../../domain/types.ts';
import { actorOf, rightsOf } from '../../plugins/auth.ts';
import { bodyViolations } from '../../plugins/validation.ts';
import { problems } from '../../schemas/common.ts';
import type { Key } from '../../schemas/key.ts';
import type { Accepted, Command } from '../../services/commands/declare.ts';
import { relativesOf } from '../../services/keys/relatives.ts';
import { entityTag, toKey } from '../../services/keys/representation.ts';
import { type Input, invalidInput, ProblemError } from '../../services/problems.ts';
import { applyPreference } from '../preferences.ts';

export const etagHeader = {
  ETag: {
    type: 'string',
    description:
      '`"<generation>.<n>"`; n moves when only the status does. Of one key, `.` and some letters more where the caller may not do everything with it.',
  },
};
export const idempotencyKeyText =
  '1 to 255 visible ASCII characters. A repeat with the same key and body within 24 hours gets the first answer and does nothing twice.';

/** The headers of a write, for the OpenAPI document. */
export const writeHeaders = {
  type: 'object',
  properties: {
    prefer: { type: 'string', description: 'wait=N (seconds, default 10, at most 60) or respond-async.' },
    'idempotency-key': {
      type: 'string',
      description: idempotencyKeyText,
    },
  },
};
export const conditionalWriteHeaders = {
  type: 'object',
  properties: {
    ...writeHeaders.properties,
    'if-match': { type: 'string', description: 'An ETag; 412 when its generation is not the current one.' },
  },
};

/** The headers of a read whose answer has an ETag of its own. */
export const readHeaders = {
  type: 'object',
  properties: {
    'if-none-match': { type: 'string', description: 'An ETag; 304 while it is current.' },
  },
};

export function notModified(what: string, headers: object) {
  return { description: `The ${what} is as the ETag says.`, headers, type: 'null' };
}

/** An answer that is a key. */
export function keyAnswer(description: string, headers: object = {}) {
  return {
    description,
    headers: { ...etagHeader, ...headers },
    content: { 'application/json': { schema: { $ref: 'Key#' } } },
  };
}

/** An answer that is no key: JSON of the schema of that name. */
export function jsonAnswer(description: string, schemaName: string) {
  return { description, content: { 'application/json': { schema: { $ref: `${schemaName}#` } } } };
}

const recorded = 'Recorded; the sync goes on. `status` tells how.';

/** The answers of a write that leaves a key. */
export function writeAnswers(done: number, description: string, ...problemStatuses: number[]) {
  return {
    [done]: keyAnswer(description),
    202: keyAnswer(recorded),
    ...problems(422, ...problemStatuses),
  };
}

const location = { Location: { type: 'string', description: 'The path of the key.' } };

/** The answers of a write that may make a key, where it has made one. */
export function newKeyAnswers(description: string) {
  return { 201: keyAnswer(description, location), 202: keyAnswer(recorded, location) };
}

/** Who asks, and what is asked of a write in its headers. */
export function commandOf(request: FastifyRequest, reply: FastifyReply): Command {
  return {
    ...actorOf(request),
    commandId: request.idempotency?.commandId,
    isRerun: request.idempotency?.isRerun,
    wait: applyPreference(request, reply),
    ifMatch: request.headers['if-match'],
    takeAliases: (request.query as { take_aliases?: boolean } | undefined)?.take_aliases,
  };
}

/** The body with what its schema, and PostgreSQL, finds wrong with it. @throws ProblemError when there is no body. */
export function inputOf(request: FastifyRequest): Input {
  const { body, validationError } = request;
  if (body === undefined || body === null) {
    throw new ProblemError('malformed-request', 'The request needs a JSON object as its body.');
  }
  return { body, violations: [...bodyViolations(validationError?.validation ?? []), ...unstorableTexts(body as Json)] };
}

/** @throws ProblemError when there is no body, or its schema finds something wrong with it. */
export function assertValidBody(request: FastifyRequest): void {
  const { violations } = inputOf(request);
  if (violations.length > 0) throw invalidInput(violations);
}

/** What an answer tells of aliases that were taken from other keys. */
export function takenIn(taken: Accepted['taken']): { aliases_taken?: NonNullable<Key['aliases_taken']> } {
  if (taken === undefined) return {};
  return { aliases_taken: taken.map(({ alias, id, arn }) => ({ alias, id, arn })) };
}

/** Answers with a key: the given status when KMS holds what was asked for, 202 while it does not yet. */
export async function sendKey(
  reply: FastifyReply,
  { row, pending, taken }: Accepted,
  done: number,
): Promise<FastifyReply> {
  const { services } = reply.server;
  const { gap } = services.watch;
  const relatives = await relativesOf(services, [row], rightsOf(reply.request).access);
  return reply
    .code(pending ? 202 : done)
    .header('etag', entityTag(row, gap))
    .type('application/json')
    .send({ ...toKey(row, gap, relatives(row)), ...takenIn(taken) });
}

/** Answers with a key that may be new. */
export function sendNewKey(reply: FastifyReply, accepted: Accepted): Promise<FastifyReply> {
  return sendKey(reply.header('location', `/v1/keys/${accepted.row.id}`), accepted, 201);
}

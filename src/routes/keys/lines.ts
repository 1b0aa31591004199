/** Keys in bulk: what is declared of all of them goes out and comes in as lines; many are let go of at once. */
import { Readable } from 'node:stream';
import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import type { FastifyError, FastifyRequest } from 'fastify';
import type { Access } from '../../domain/access.ts';
import { withoutCredentials } from '../../domain/credentials.ts';
import { rightsOf } from '../../plugins/auth.ts';
import { shownProblem, toProblem } from '../../plugins/errors.ts';
import { acceptLines, declaredLinesIn, mostLines } from '../../plugins/lines.ts';
import { problems, ref } from '../../schemas/common.ts';
import {
  ApplyQuery,
  type ApplyResult,
  KeyDeclaration,
  KeyDeclarations,
  KeyRelease,
  type KeyReleased,
  linesType,
} from '../../schemas/key-lines.ts';
import { KeyFilters } from '../../schemas/key-list.ts';
import { type AppliedLine, applyLines, planLines } from '../../services/commands/apply.ts';
import { releaseKeys } from '../../services/commands/release-many.ts';
import type { Services } from '../../services/context.ts';
import { conditionsToExport, countPendingDeletion, declarationsOf, walkFamilies } from '../../services/keys/export.ts';
import { ProblemError, problemKinds } from '../../services/problems.ts';
import type { KeyRow } from '../../services/rows/key-row.ts';
import { assertValidBody, commandOf, jsonAnswer, takenIn, writeHeaders } from './shared.ts';

const leftOut = {
  'Keyward-Warning': { type: 'string', description: 'How many keys are left out, and why; absent: none.' },
};

/** An answer of many lines. */
function lines(description: string, schemaName: string, headers: object = {}) {
  return { description, headers, content: { [linesType]: { schema: { $ref: `${schemaName}#` } } } };
}

const routes: FastifyPluginAsyncTypebox = async (app) => {
  app.get(
    '/keys/export',
    {
      schema: {
        operationId: 'exportKeys',
        tags: ['Keys'],
        summary: 'Read what is declared of all keys, a line each',
        description:
          'JSON objects, one a line, oldest key first, and replicas after all others: each the body of PUT, with the id of the key and the KMS key that it is. `POST /v1/keys/apply` takes them, here and in another installation, and there makes no second KMS key. The filters are those of the list. Keys that are deleted or being released are left out, and those pending deletion unless `state` asks for them: `Keyward-Warning` says how many. An answer that breaks off is not whole.',
        querystring: KeyFilters,
        response: { 200: lines('The declared states.', 'ExportedKeys', leftOut), ...problems() },
      },
    },
    async (request, reply) => {
      const { access } = rightsOf(request);
      const pending = await countPendingDeletion(app.services, request.query, access);
      if (pending > 0) reply.header('keyward-warning', `${pending} pending deletion left out: state=pending_deletion`);
      const pages =
        request.method === 'HEAD' ? [] : walkFamilies(app.services, conditionsToExport(request.query, access));
      return reply.type(linesType).send(Readable.from(textOf(app.services, pages, access), { objectMode: false }));
    },
  );

  app.post(
    '/keys/release',
    {
      attachValidation: true,
      schema: {
        operationId: 'releaseKeys',
        tags: ['Keys'],
        summary: 'Stop managing many keys and leave them in KMS',
        description:
          "Each as by `POST /v1/keys/{id}/release`. What one of them can't have is told of that one, and the others go on. All share the time to wait: `pending` says whose ownership tag is still to be removed then.",
        headers: writeHeaders,
        body: ref(KeyRelease),
        response: { 200: jsonAnswer('What became of each.', 'KeyReleased'), ...problems(409, 413, 415, 422) },
      },
    },
    async (request, reply) => {
      assertValidBody(request);
      const released = await releaseKeys(app.services, request.body.ids, commandOf(request, reply));
      const items: KeyReleased['items'] = released.map(({ error, ...one }) =>
        error === undefined
          ? { ...one, outcome: 'released' }
          : { ...one, outcome: 'failed', problem: problemIn(request, error) },
      );
      return reply.type('application/json').send({ items });
    },
  );

  await app.register(applyRoute);
};

const applyRoute: FastifyPluginAsyncTypebox = async (app) => {
  acceptLines(app);
  const check = app.checkerOf(ref(KeyDeclaration));
  app.post(
    '/keys/apply',
    {
      // Each line is checked by itself: what is wrong with one has its number.
      validatorCompiler: (part) =>
        part.httpPart === 'body' ? () => true : (app.validatorCompiler?.(part) ?? (() => true)),
      schema: {
        operationId: 'applyKeys',
        tags: ['Keys'],
        summary: 'Make many keys what lines declare',
        description: `Takes what \`GET /v1/keys/export\` gives, or lines written by hand: at most ${mostLines}, and 16 MiB; or a JSON array of the same of at most 512 KiB, whose elements count as lines. A line is the body of PUT with the \`id\` of the key, which it makes or changes. A line that names a KMS key (\`arn\` or \`key_id\`) never makes one: where there is no record of its id, it takes that KMS key into management, with what the line declares, and changes nothing in KMS but the ownership tag; what differs is drift. All lines are checked first: rules that are broken are 422, each with its line, and nothing is done. Then each goes its way; what one of them can't have is told of that one. A request works for 45 seconds: what it has not begun by then has failed with 503, and is to be sent again. The same lines again change nothing. A line that makes a key needs keys:create, one that imports keys:import.`,
        consumes: [linesType],
        querystring: ApplyQuery,
        headers: writeHeaders,
        body: ref(KeyDeclarations),
        response: {
          200: lines('What became of each line, or would.', 'ApplyResults'),
          ...problems(409, 413, 415, 422),
        },
      },
    },
    async (request, reply) => {
      const declared = await declaredLinesIn(request, check);
      const { dry_run: dryRun } = request.query as { dry_run?: boolean };
      const command = commandOf(request, reply);
      const applied = await (dryRun ? planLines : applyLines)(app.services, declared, command);
      const text = applied.map((one) => `${JSON.stringify(resultOf(request, one))}\n`).join('');
      return reply.type(linesType).send(withoutCredentials(text));
    },
  );
};

async function* textOf(
  services: Services,
  pages: AsyncIterable<KeyRow[]> | KeyRow[][],
  access: Access,
): AsyncGenerator<string> {
  for await (const rows of pages) {
    const declarations = await declarationsOf(services, rows, access);
    yield declarations.map((declaration) => `${JSON.stringify(declaration)}\n`).join('');
  }
}

function resultOf(request: FastifyRequest, { row, error, plan, taken, ...applied }: AppliedLine): ApplyResult {
  return {
    ...applied,
    generation: row?.generation ?? null,
    state: row?.state ?? null,
    arn: row?.arn ?? null,
    ...takenIn(taken),
    ...(plan === undefined ? {} : { plan }),
    ...(error === undefined ? {} : { problem: problemIn(request, error) }),
  };
}

/** Why one of many could not be had. The log has what is a fault; what was refused is on record as if it had been asked for alone. */
function problemIn(request: FastifyRequest, error: unknown) {
  const problem = toProblem(error as FastifyError, request);
  const { status } = problemKinds[problem.kind];
  if (status >= 500 && !(error instanceof ProblemError))
    request.log.error({ err: error }, 'a part of a request failed');
  if (request.refusedPart === null || status === 403) request.refusedPart = status;
  return shownProblem(request, problem);
}

export default routes;

/** The pages that the types of problems lead to. */
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import fp from 'fastify-plugin';
import { ProblemError, type ProblemKind, problemKinds } from '../services/problems.ts';

const pages = path.resolve(import.meta.dirname, '../../docs/problems');

export default fp(
  async (app) => {
    app.get<{ Params: { kind: string } }>('/problems/:kind', { schema: { hide: true } }, async (request, reply) => {
      const { kind } = request.params;
      if (!Object.hasOwn(problemKinds, kind)) throw new ProblemError('not-found', `There is no problem ${kind}.`);
      const page = await readFile(path.join(pages, `${kind as ProblemKind}.md`), 'utf8');
      return reply.type('text/markdown; charset=utf-8').send(page);
    });
  },
  { name: 'problem-pages', dependencies: ['errors'] },
);

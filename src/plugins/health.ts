/** Tells whether the process is up, and whether it can do its work. */
import fp from 'fastify-plugin';
import { problems } from '../schemas/common.ts';
import { ProblemError } from '../services/problems.ts';

export default fp(
  async (app) => {
    const answer = {
      200: { description: 'Yes.', content: { 'application/json': { schema: { $ref: 'Health#' } } } },
    };
    app.get(
      '/livez',
      { schema: { operationId: 'getLiveness', tags: ['Service'], summary: 'Is the process up?', response: answer } },
      async () => ({ status: 'ok' }),
    );
    app.get(
      '/readyz',
      {
        schema: {
          operationId: 'getReadiness',
          tags: ['Service'],
          summary: 'Are database and queue reachable?',
          response: { ...answer, ...problems() },
        },
      },
      async () => {
        const { database, queue, watch } = app.services;
        try {
          await Promise.all([database.pool.query('SELECT 1'), queue.boss.isInstalled()]);
        } catch {
          throw new ProblemError('temporarily-unavailable', 'The database or the queue in it is away.');
        }
        const fault = app.services.endpointFault();
        if (fault !== null) throw new ProblemError('temporarily-unavailable', `KMS_ENDPOINT is no KMS: ${fault}`);
        return { status: 'ok', held: watch.isHeld, reason: watch.reason };
      },
    );
  },
  { name: 'health' },
);

/** Tells whether the process is up, and whether it can do its work. */
import { setTimeout as delay } from 'node:timers/promises';
import fp from 'fastify-plugin';
import { problems } from '../schemas/common.ts';
import { ProblemError } from '../services/problems.ts';

/** Milliseconds in which the database must answer. */
const patience = 3000;

export default fp(
  async (app) => {
    const answer = {
      200: { description: 'Yes.', content: { 'application/json': { schema: { $ref: 'Health#' } } } },
    };
    app.get(
      '/livez',
      {
        schema: {
          operationId: 'getLiveness',
          tags: ['Service'],
          summary: 'Is the process up?',
          description: 'Asks nothing else: for the liveness probe of an orchestrator.',
          security: [],
          response: answer,
        },
      },
      async () => ({ status: 'ok' }),
    );
    app.get(
      '/readyz',
      {
        schema: {
          operationId: 'getReadiness',
          tags: ['Service'],
          summary: 'Is the database reachable, and does the worker work?',
          description: 'For the readiness probe of an orchestrator. 503 says what is away.',
          security: [],
          response: { ...answer, ...problems() },
        },
      },
      async () => {
        const { database, watch, pulse } = app.services;
        const answer = await Promise.race([
          database.pool.query('SELECT 1').then(
            () => 'here',
            () => 'away',
          ),
          delay(patience, 'silent', { ref: false }),
        ]);
        if (answer === 'away') throw unready('The database is away.');
        if (answer === 'silent') throw unready(`The database has not answered for ${patience / 1000} seconds.`);
        const endpoint = app.services.endpointFault();
        if (endpoint !== null) throw unready(`KMS_ENDPOINT is no KMS: ${endpoint}`);
        const fault = pulse?.fault() ?? null;
        if (fault !== null) throw unready(fault);
        return { status: 'ok', held: watch.isHeld, reason: watch.reason };
      },
    );
  },
  { name: 'health' },
);

function unready(detail: string): ProblemError {
  return new ProblemError('temporarily-unavailable', detail);
}

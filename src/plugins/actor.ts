/** Who makes a request. */
import type { FastifyRequest } from 'fastify';

/** The caller's name, as revisions and events have it. With AUTH_MODE=none everybody is the same. */
export function actorOf(_request: FastifyRequest): string {
  return 'anonymous';
}

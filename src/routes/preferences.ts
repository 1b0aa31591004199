/** The Prefer header of writes. Source: RFC 7240; `wait` in whole seconds. */
import type { FastifyReply, FastifyRequest } from 'fastify';

const standardWait = 10;
const longestWait = 60;

/** How long a write waits for its sync, and what to answer in Preference-Applied. */
export type Preference = { waitMilliseconds: number; applied: string | null };

/** Reads the header. What it doesn't know is ignored, as RFC 7240 asks. */
export function readPreference(header: string | string[] | undefined): Preference {
  const preferences = [header ?? []]
    .flat()
    .join(',')
    .split(/[,;]/)
    .map((item) => item.trim().toLowerCase());
  if (preferences.includes('respond-async')) return { waitMilliseconds: 0, applied: 'respond-async' };
  const wait = preferences
    .map((item) => /^wait\s*=\s*"?(\d{1,9})"?$/.exec(item)?.[1])
    .find((text) => text !== undefined);
  if (wait === undefined) return { waitMilliseconds: standardWait * 1000, applied: null };
  const seconds = Math.min(Number(wait), longestWait);
  return { waitMilliseconds: seconds * 1000, applied: `wait=${seconds}` };
}

/** Reads the preference of a request and confirms it in the answer. */
export function applyPreference(request: FastifyRequest, reply: FastifyReply): number {
  const { waitMilliseconds, applied } = readPreference(request.headers['prefer']);
  if (applied !== null) reply.header('preference-applied', applied);
  return waitMilliseconds;
}

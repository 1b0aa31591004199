/**
 * One request to the service, repeated where that is safe: every write carries an Idempotency-Key, so that a repeat is the
 * same request. Libraries that repeat (ky, undici's RetryAgent) don't tell a service that was never there from one that
 * starts anew, nor know that 409 idempotency-key-in-use is the first attempt, still at work.
 */
import { setTimeout } from 'node:timers/promises';
import { Failure } from './errors.ts';

const attempts = 7;

/** Milliseconds before the first repeat; each waits twice as long as the one before. */
const firstPause = 500;

/** Seconds that the service may ask to wait for; longer is not for a person at a terminal. */
const longestWait = 60;

/** Of undici and of Node, where the connection was there, or may be there soon. */
const passing = new Set([
  ...['ECONNRESET', 'EPIPE', 'ETIMEDOUT', 'EAI_AGAIN', 'EHOSTUNREACH', 'ENETUNREACH', 'ECONNABORTED'],
  ...['UND_ERR_SOCKET', 'UND_ERR_CONNECT_TIMEOUT', 'UND_ERR_HEADERS_TIMEOUT', 'UND_ERR_BODY_TIMEOUT'],
]);

const unanswered = new Set([502, 503, 504, 429]);

export type Transport = {
  url: string;
  /** Whether the service has answered in this run. */
  hasAnswered: boolean;
  interrupted: AbortSignal;
  /** Told while it waits to try again. */
  note: (message: string) => void;
};

type Trouble = { message: string; code: string };

function troubleOf(error: unknown): Trouble {
  let cause = error as Error & { code?: string; cause?: Error; errors?: Error[] };
  while (cause.cause instanceof Error) cause = cause.cause as typeof cause;
  // Of a host with several addresses: one error of each.
  const { message, code = '' } = (cause.errors?.[0] ?? cause) as typeof cause;
  return { message: message || code || 'the connection failed', code: code || (cause.code ?? '') };
}

/** Why there is no answer, and what to do about it. */
function away(url: string, { message, code }: Trouble, hasAnswered: boolean): Failure {
  if (hasAnswered) {
    const hint = 'What was asked of it may have been recorded all the same: look before you ask again.';
    return new Failure(`The service at ${url} does not answer any more: ${message}`, { hint });
  }
  const settings = 'KEYWARD_URL or keyward login says where it is';
  const hints: Record<string, string> = {
    ECONNREFUSED: `Nothing listens there. Is it running (npm start)? ${settings}.`,
    ENOTFOUND: `There is no host of that name. ${settings}.`,
    EAI_AGAIN: `The name of the host can't be resolved now. ${settings}.`,
  };
  const isCertificate = /CERT|SELF_SIGNED|UNABLE_TO_VERIFY|TLS|SSL/.test(code);
  const certificate = 'NODE_EXTRA_CA_CERTS names a file with the certificates of your own authority.';
  const hint = hints[code] ?? (isCertificate ? certificate : `${settings}.`);
  return new Failure(`There is no answer from ${url}: ${message}`, { hint });
}

/** Seconds that an answer asks to wait. */
export function askedToWait(response: Response): number | undefined {
  const header = response.headers.get('retry-after');
  if (header === null) return undefined;
  const seconds = /^\d+$/.test(header) ? Number(header) : (Date.parse(header) - Date.now()) / 1000;
  return Number.isFinite(seconds) ? Math.max(0, seconds) : undefined;
}

async function isStillAtWork(response: Response): Promise<boolean> {
  if (response.status !== 409) return false;
  const body = await response.clone().text();
  return body.includes('/problems/idempotency-key-in-use');
}

/** The same answer with its body read, so that a connection that is lost in the middle of it counts too. */
export async function whole(response: Response): Promise<Response> {
  const body = [204, 304].includes(response.status) ? null : await response.arrayBuffer();
  return new Response(body, { status: response.status, headers: response.headers });
}

/** @returns seconds to wait before the next attempt, with why; undefined: the answer is final. */
async function pauseAfter(response: Response, attempt: number): Promise<[number, string] | undefined> {
  const usual = (firstPause * 2 ** (attempt - 1)) / 1000;
  if (await isStillAtWork(response)) return [usual, 'the first attempt is still at work'];
  if (!unanswered.has(response.status)) return undefined;
  const seconds = askedToWait(response) ?? usual;
  if (seconds > longestWait) return undefined;
  return [seconds, `the service says ${response.status === 429 ? 'that this is too much at once' : response.status}`];
}

/**
 * Sends a request, again where need be.
 * @throws Failure where there is no answer.
 */
export async function send(transport: Transport, request: Request, read = whole): Promise<Response> {
  for (let attempt = 1; ; attempt += 1) {
    let next: [seconds: number, why: string];
    try {
      const response = await read(await fetch(request.clone(), { signal: transport.interrupted }));
      transport.hasAnswered = true;
      const pause = attempt === attempts ? undefined : await pauseAfter(response, attempt);
      if (pause === undefined) return response;
      next = pause;
    } catch (error) {
      if (transport.interrupted.aborted) throw error;
      const trouble = troubleOf(error);
      const mayPass = passing.has(trouble.code) || (transport.hasAnswered && trouble.code === 'ECONNREFUSED');
      if (!mayPass || attempt === attempts) throw away(transport.url, trouble, transport.hasAnswered);
      next = [(firstPause * 2 ** (attempt - 1)) / 1000, `no answer (${trouble.message})`];
    }
    const [seconds, why] = next;
    transport.note(`${why}; trying again in ${Math.ceil(seconds)} s`);
    await setTimeout(seconds * 1000, undefined, { signal: transport.interrupted });
  }
}

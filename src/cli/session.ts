/** One run against one service: the client of its API, and what is shown meanwhile. */
import { randomUUID } from 'node:crypto';
import createClient, { type Client, type Middleware } from 'openapi-fetch';
import type { components, paths } from '../generated/openapi.ts';
import { findTarget, type Target } from './config.ts';
import { Failure, type Problem, Refusal } from './errors.ts';
import type { Io } from './io.ts';
import { type Activity, openActivity } from './progress.ts';
import { askedToWait, send, type Transport, whole } from './transport.ts';

export type Schemas = components['schemas'];

/** Answers with all fields, or a problem. */
type Media = 'application/json' | 'application/problem+json';

export type Api = Client<paths, Media>;

export type Session = {
  io: Io;
  target: Target;
  api: Api;
  transport: Transport;
  /** Print what programs read, in place of tables. */
  json: boolean;
  activity: Activity;
  /** What goes on at the service even when this run ends: said at Ctrl-C. */
  underWay: string | undefined;
};

/** Seconds that the service waits for KMS before it answers 202. */
const patience = 20;

const agent = 'keyward-cli';

const writeHeaders = () => ({ 'Idempotency-Key': randomUUID(), Prefer: `wait=${patience}` });

/** Every write carries an Idempotency-Key, and waits. */
const writes: Middleware = {
  onRequest({ request }) {
    if (request.method === 'GET') return;
    for (const [name, value] of Object.entries(writeHeaders())) {
      if (!request.headers.has(name)) request.headers.set(name, value);
    }
  },
};

/** @param options of the command line. @param target another than the one that is configured. */
export async function openSession(io: Io, options: { json?: boolean }, target?: Target): Promise<Session> {
  const { url, token } = target ?? (await findTarget(io.env));
  const activity = openActivity(io);
  const transport: Transport = { url, hasAnswered: false, interrupted: io.interrupted, note: activity.note };
  const api = createClient<paths, Media>({
    baseUrl: url,
    fetch: (request) => activity.during('Asking the service', send(transport, request)),
    headers: { 'User-Agent': agent, ...(token === undefined ? {} : { Authorization: `Bearer ${token}` }) },
  });
  api.use(writes);
  const json = options.json ?? io.stdout.isTTY !== true;
  return {
    io,
    target: { url, ...(token === undefined ? {} : { token }) },
    api,
    transport,
    json,
    activity,
    underWay: undefined,
  };
}

type Raw = { method: 'GET' | 'POST'; headers?: Record<string, string>; body?: string | Uint8Array<ArrayBuffer> };

/**
 * A request whose body or answer is no JSON value, such as lines.
 * @param path with its query. @param read what is to be read of the answer before the request is over.
 * @throws Refusal with the problem that the service tells.
 */
export async function rawAnswer(session: Session, path: string, raw: Raw, read = whole): Promise<Response> {
  const { target, transport, activity } = session;
  const { url, token } = target;
  const headers = {
    'User-Agent': agent,
    ...(token === undefined ? {} : { Authorization: `Bearer ${token}` }),
    ...(raw.method === 'GET' ? {} : writeHeaders()),
    ...raw.headers,
  };
  const request = new Request(`${url}${path}`, { ...raw, headers });
  const response = await activity.during('Asking the service', send(transport, request, read));
  if (response.ok) return response;
  const problem: unknown = await response.json().catch(() => undefined);
  throw refusalOf(response, problem, url);
}

type Answered<Data> = { data?: Data; error?: unknown; response: Response };

function isProblem(error: unknown): error is Problem {
  return typeof error === 'object' && error !== null && 'title' in error && 'status' in error;
}

/** The failure that an answer tells of. */
function refusalOf(response: Response, error: unknown, url: string): Error {
  if (isProblem(error)) return new Refusal(error, askedToWait(response));
  const hint = 'Is that the URL of Keyward, and of nothing before it? KEYWARD_URL or keyward login says where it is.';
  return new Failure(`${url} answered ${response.status}, and not as Keyward does.`, { hint });
}

/** The answer of a call. @throws Refusal with the problem that the service tells. */
export async function answerOf<Data>(
  { target: { url } }: Session,
  call: Promise<Answered<Data>>,
): Promise<{ data: Data; response: Response }> {
  const { data, error, response } = await call.catch((failure: unknown) => {
    // A page of somebody else's: no JSON where JSON was asked for.
    if (failure instanceof SyntaxError) return { data: undefined, error: undefined, response: Response.error() };
    throw failure;
  });
  const isJson = /json/.test(response.headers.get('content-type') ?? '') || response.status === 204;
  if (!response.ok || !isJson) throw refusalOf(response, error, url);
  return { data: data as Data, response };
}

/** What a call answers. @throws Refusal with the problem that the service tells. */
export async function dataOf<Data>(session: Session, call: Promise<Answered<Data>>): Promise<Data> {
  return (await answerOf(session, call)).data;
}

/**
 * What counts as an answer. The way to KMS has proxies, gateways and captive portals on it, and an endpoint may be a web
 * server: only what speaks the protocol of the service that was asked says anything of what was done.
 */
import type { KMSClient } from '@aws-sdk/client-kms';

/** How an answer must be, and for how long and how much it is read. */
export type AnswerRules = {
  service: string;
  protocol: 'JSON' | 'XML';
  /** Bytes of the longest body. */
  limit: number;
  /** Milliseconds from the sending to the end of the body. */
  deadline: number;
};

/** How the services answer. A thousand keys or rotations, KMS's longest answers, are some 300 kB. */
export const answerRules = {
  kms: { service: 'KMS', protocol: 'JSON', limit: 2 << 20 },
  tagging: { service: 'the tagging API', protocol: 'JSON', limit: 8 << 20 },
  sts: { service: 'STS', protocol: 'XML', limit: 1 << 20 },
} as const;

/** Clients of all services have the same kind of stack; the SDK gives each a type of its own. */
type AnyClient = { middlewareStack: object };
type Body = NodeJS.ReadableStream & { destroy(error?: Error): unknown };
type Answer = { statusCode: number; headers: Record<string, string>; body: Body | Uint8Array };
type Request = {
  protocol: string;
  hostname: string;
  port?: number;
  headers: Record<string, string>;
  body?: unknown;
};

/** The code of an answer that is somebody else's. */
export const notKmsAnswer = 'NotKmsAnswer';

/** Somebody else answered. `$metadata` is where the SDK looks whether a read is worth another attempt. */
class NotKmsAnswer extends Error {
  override readonly name = notKmsAnswer;
  readonly $metadata: { httpStatusCode: number };

  constructor(message: string, status: number) {
    super(message);
    this.$metadata = { httpStatusCode: status };
  }
}

class AnswerTooLarge extends Error {
  override readonly name = 'AnswerTooLarge';
}

/** The name is the one by which the SDK knows what is worth another attempt. */
class AnswerTooLate extends Error {
  override readonly name = 'TimeoutError';
}

/**
 * Has a client take nothing for an answer that is none. The body is read here, to its end and within its limits; the SDK gives
 * up waiting for headers by itself, and for no longer than the deadline.
 * @param onSilence called when there was no answer in time.
 */
export function demandAnswers(
  { middlewareStack }: AnyClient,
  rules: AnswerRules,
  onSilence: () => void = () => {},
): void {
  (middlewareStack as KMSClient['middlewareStack']).add(
    (next) => async (args) => {
      const end = performance.now() + rules.deadline;
      const request = args.request as Request;
      try {
        const result = await next(args);
        const answer = result.response as Answer;
        const body = await readBody(answer, request, rules, end);
        if (!isItsOwn(answer, body, rules.protocol)) throw notItsOwn(answer, body, request, rules);
        answer.body = body;
        return result;
      } catch (error) {
        if ((error as Error).name === 'TimeoutError') onSilence();
        throw saidPlainly(error as Error, request);
      }
    },
    // The provider of a role's credentials adds its plugins again at each call.
    { step: 'deserialize', priority: 'low', name: 'keywardAnswers', override: true },
  );
}

/** Node's codes for a connection that never came about: the request was not sent. */
export const neverConnected = new Set(['ECONNREFUSED', 'ENOTFOUND', 'EHOSTUNREACH', 'ENETUNREACH', 'EAI_AGAIN']);

/** Node's codes for a connection that broke. */
const broken = new Set(['ECONNRESET', 'EPIPE']);

/** Puts the call, and whom it was sent to, into what the SDK and Node say of a connection that fails. */
function saidPlainly(error: Error & { code?: string }, request: Request): Error {
  const { name, message, code = '' } = error;
  if ([AnswerTooLarge, AnswerTooLate, NotKmsAnswer].some((ours) => error instanceof ours)) return error;
  const { operation, endpoint } = askedBy(request);
  if (neverConnected.has(code)) error.message = `${operation}: there is no connection to ${endpoint}: ${code}`;
  if (broken.has(code)) error.message = `${operation}: ${endpoint} closed the connection before the end of its answer`;
  if (name === 'TimeoutError') {
    const time = /[\d.]+ ?ms/.exec(message)?.[0] ?? 'its time';
    const what = /establish a connection/.test(message) ? 'took no connection' : 'gave no answer';
    error.message = `${operation}: ${endpoint} ${what} within ${time}`;
  }
  return error;
}

type Asked = { operation: string; endpoint: string };

function askedBy({ protocol, hostname, port, headers, body }: Request): Asked {
  const action = typeof body === 'string' ? new URLSearchParams(body).get('Action') : null;
  const operation = headers['x-amz-target']?.split('.').at(-1) ?? action ?? 'A call';
  return { operation, endpoint: `${protocol}//${hostname}${port === undefined ? '' : `:${port}`}` };
}

/** @throws AnswerTooLarge, AnswerTooLate, and what the connection breaks with. */
async function readBody(
  { headers, body }: Answer,
  request: Request,
  { limit, deadline }: AnswerRules,
  end: number,
): Promise<Uint8Array> {
  if (body instanceof Uint8Array || body === undefined) return body ?? new Uint8Array();
  // Made when they are needed: of a thousand reads a second, each would pay for the stack of two errors.
  const whose = () => {
    const { operation, endpoint } = askedBy(request);
    return `${operation}: ${endpoint}`;
  };
  const tooLarge = () => new AnswerTooLarge(`${whose()} answered with more than ${limit} bytes`);
  const tooLate = () => new AnswerTooLate(`${whose()} did not end its answer within ${deadline} ms`);
  const timer = setTimeout(() => body.destroy(tooLate()), Math.max(0, end - performance.now()));
  // By its events: an iterator makes promises of its own for each of many short answers.
  return new Promise<Uint8Array>((resolve, reject) => {
    const chunks: Uint8Array[] = [];
    let size = 0;
    const tooMuch = () => body.destroy(tooLarge());
    let hasEnded = false;
    body.once('end', () => {
      hasEnded = true;
      resolve(Buffer.concat(chunks, size));
    });
    body.once('error', reject);
    body.once('close', () => {
      if (!hasEnded) reject(Object.assign(new Error('aborted'), { code: 'ECONNRESET' }));
    });
    body.on('data', (chunk: Uint8Array) => {
      size += chunk.length;
      chunks.push(chunk);
      if (size > limit) tooMuch();
    });
    if (Number(headers['content-length']) > limit) tooMuch();
  }).finally(() => clearTimeout(timer));
}

/** Whether the service that was asked writes answers like this one. */
function isItsOwn({ statusCode, headers }: Answer, body: Uint8Array, protocol: AnswerRules['protocol']): boolean {
  const text = Buffer.from(body.buffer, body.byteOffset, body.length).toString('utf8').trim();
  const isSuccess = statusCode === 200;
  if (protocol === 'XML') {
    const root = /^(?:<\?xml[^>]*\?>\s*)?<(\w+)[\s>]/.exec(text)?.[1] ?? '';
    return isSuccess ? root.endsWith('Response') && root !== 'ErrorResponse' : root === 'ErrorResponse';
  }
  // Operations that tell nothing have an empty body at AWS; emulators say {} or null.
  const told = text === '' ? {} : parsed(text);
  if (told === undefined) return false;
  const isError = headers['x-amzn-errortype'] !== undefined || typeof told?.['__type'] === 'string';
  return isError !== isSuccess;
}

/** A JSON object or null; undefined: it is neither. */
function parsed(text: string): Record<string, unknown> | null | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && !Array.isArray(value) ? (value as Record<string, unknown> | null) : undefined;
  } catch {
    return undefined;
  }
}

const excerptLength = 100;

function notItsOwn(
  { statusCode }: Answer,
  body: Uint8Array,
  request: Request,
  { service, protocol }: AnswerRules,
): NotKmsAnswer {
  const { operation, endpoint } = askedBy(request);
  let text = Buffer.from(body.subarray(0, 65_536)).toString('utf8');
  // A web server may send back what it was sent.
  for (const secret of secretsOf(request)) text = text.replaceAll(secret, '…');
  const excerpt = text
    .replaceAll(/[\p{Cc}\p{Z}]+/gu, ' ')
    .trim()
    .slice(0, excerptLength)
    .toWellFormed();
  const message = `${operation}: ${endpoint} answered ${statusCode}, not ${service}'s ${protocol}: ${excerpt || '(no body)'}`;
  return new NotKmsAnswer(message, statusCode);
}

function secretsOf({ headers }: Request): string[] {
  return ['authorization', 'x-amz-security-token'].flatMap((name) => headers[name] ?? []);
}

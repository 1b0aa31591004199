/** What may stand on the way to a KMS, and answer in its place: proxies, gateways, captive portals. */
import { createServer, type IncomingMessage, type ServerResponse, request as send } from 'node:http';
import type { AddressInfo } from 'node:net';
import { text } from 'node:stream/consumers';
import type { Test } from 'tap';

export type OddAnswer = {
  /** A KMS operation. */
  operation: string;
  /** Only calls with this text in their parameters. */
  saying?: string;
  /** How often; the rest is passed on as it is. */
  times?: number;
  /** Whether KMS carries the call out before the odd answer is given. */
  isCarriedOut?: boolean;
  status?: number;
  headers?: Record<string, string>;
  /** Of the odd answer; a function gets KMS's own, and the headers of the call. */
  body?: string | ((own: string, headers: IncomingMessage['headers']) => string);
  /** The headers come, and of the body so many characters; then nothing. */
  stallsAfter?: number;
  /** So many bytes, for as long as anybody reads them. */
  bytes?: number;
};

type Answer = { status: number; headers: Record<string, string>; body: string };

/** Starts one in front of a KMS; it is stopped when the test ends. */
export async function startGateway(t: Pick<Test, 'teardown'>, target: string) {
  const odd: Required<Pick<OddAnswer, 'times'> & { rule: OddAnswer }>[] = [];
  const sent = { bytes: 0 };
  const server = createServer(async (request, response) => {
    try {
      const body = await text(request);
      const operation = String(request.headers['x-amz-target'] ?? new URLSearchParams(body).get('Action'))
        .split('.')
        .at(-1);
      const found = odd.find(
        ({ rule, times }) => rule.operation === operation && times > 0 && body.includes(rule.saying ?? ''),
      );
      if (found === undefined) return write(response, await pass(target, request, body));
      found.times -= 1;
      const { rule } = found;
      const own = rule.isCarriedOut || typeof rule.body === 'function' ? await pass(target, request, body) : undefined;
      await answerOddly(response, { rule, own, asked: request.headers }, sent);
    } catch {
      response.destroy();
    }
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.teardown(async () => {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  });
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    /** Has calls answered oddly from now on, the first of these rules first. */
    answer: (...rules: OddAnswer[]) => {
      odd.push(...rules.map((rule) => ({ rule, times: rule.times ?? 1 })));
    },
    /** How many answers are still to be given oddly. */
    left: () => odd.reduce((sum, { times }) => sum + times, 0),
    clear: () => {
      odd.length = 0;
    },
    /** Bytes of endless answers that went out. */
    sent,
  };
}

async function answerOddly(
  response: ServerResponse,
  { rule, own, asked }: { rule: OddAnswer; own: Answer | undefined; asked: IncomingMessage['headers'] },
  sent: { bytes: number },
): Promise<void> {
  const status = rule.status ?? own?.status ?? 200;
  const body = typeof rule.body === 'function' ? rule.body(own?.body ?? '', asked) : (rule.body ?? own?.body ?? '');
  const headers = rule.headers ?? { 'content-type': 'text/html' };
  if (rule.bytes !== undefined) {
    response.writeHead(status, headers);
    for (let left = rule.bytes; left > 0 && !response.destroyed; left -= 65_536) {
      sent.bytes += 65_536;
      if (!response.write(Buffer.alloc(65_536, ' '))) await drained(response);
    }
    response.end();
  } else if (rule.stallsAfter !== undefined) {
    response.writeHead(status, headers).flushHeaders();
    response.write(body.slice(0, rule.stallsAfter));
  } else {
    write(response, { status, headers, body });
  }
}

function drained(response: ServerResponse): Promise<void> {
  return new Promise((resolve) => {
    const done = () => {
      response.off('drain', done).off('close', done);
      resolve();
    };
    response.once('drain', done).once('close', done);
  });
}

function write(response: ServerResponse, { status, headers, body }: Answer): void {
  response.writeHead(status, headers).end(body);
}

/** What the KMS behind answers. */
function pass(target: string, { method = 'POST', url = '/', headers }: IncomingMessage, body: string): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const forwarded = send(new URL(url, target), { method, headers }, async (answer) => {
      const { 'content-type': type = '', 'x-amzn-requestid': id = '' } = answer.headers;
      const told = { 'content-type': type, 'x-amzn-requestid': String(id) };
      text(answer).then((own) => resolve({ status: answer.statusCode ?? 0, headers: told, body: own }), reject);
    });
    forwarded.on('error', reject);
    forwarded.end(body);
  });
}

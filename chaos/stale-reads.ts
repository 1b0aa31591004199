/**
 * A way to the local KMS on which reads may be as old as before the latest write, for a while: a new key is not there or
 * not listed, an old policy, tag set or state comes back, and alternates with the new one. It also counts the calls.
 */
import { once } from 'node:events';
import { createServer, type IncomingHttpHeaders, type IncomingMessage, request, type ServerResponse } from 'node:http';
import { buffer } from 'node:stream/consumers';
import type { Owner } from '../test/support/process.ts';

const readsOfKeys = ['DescribeKey', 'GetKeyPolicy', 'GetKeyRotationStatus', 'ListResourceTags'];

type Answer = { status: number; headers: IncomingHttpHeaders; body: Buffer };
/** How a key looked before its latest write, by the operation that tells; null: it was not there. */
type Former = { answers: Map<string, Answer> | null; until: number };

export type StaleReads = { url: string; set(milliseconds: number): void; calls(): number };

export async function startStaleReads(owner: Owner, kmsUrl: string): Promise<StaleReads> {
  const former = new Map<string, Former>();
  let staleness = 0;
  let calls = 0;
  const formerOf = (keyId: string) => {
    const known = former.get(keyId);
    return known !== undefined && known.until > performance.now() && Math.random() < 0.5 ? known : undefined;
  };

  async function answer(incoming: IncomingMessage, response: ServerResponse): Promise<void> {
    calls += 1;
    const body = await buffer(incoming);
    const operation = String(incoming.headers['x-amz-target']).split('.')[1] ?? '';
    const { KeyId: keyId = '' } = JSON.parse(body.toString() || '{}') as { KeyId?: string };
    const isRead = /^(Get|List|Describe)/.test(operation);
    const stale = isRead ? formerOf(keyId) : undefined;
    if (stale !== undefined) return give(response, stale.answers?.get(operation) ?? notThere(keyId));
    const isWatched = staleness > 0 && !isRead;
    const before = isWatched && operation !== 'CreateKey' ? await lookAt(incoming.headers, keyId) : null;
    const result = await forward(incoming.headers, body, response);
    if (isWatched && result.status === 200) {
      const { KeyMetadata } = JSON.parse(result.body.toString()) as { KeyMetadata?: { KeyId: string } };
      former.set(KeyMetadata?.KeyId ?? keyId, { answers: before, until: performance.now() + staleness });
    }
    give(response, operation === 'ListKeys' ? withoutNewKeys(result, (id) => formerOf(id)?.answers === null) : result);
  }

  async function lookAt(headers: IncomingHttpHeaders, keyId: string) {
    const answers = new Map<string, Answer>();
    for (const operation of readsOfKeys) {
      const body = Buffer.from(JSON.stringify({ KeyId: keyId }));
      const target = { ...headers, 'x-amz-target': `TrentService.${operation}`, 'content-length': String(body.length) };
      answers.set(operation, await forward(target, body));
    }
    return answers;
  }

  async function forward(headers: IncomingHttpHeaders, body: Buffer, waiting?: ServerResponse): Promise<Answer> {
    const outgoing = request(kmsUrl, { method: 'POST', headers });
    waiting?.on('close', () => outgoing.destroy());
    outgoing.end(body);
    const [incoming] = (await once(outgoing, 'response')) as [IncomingMessage];
    return { status: incoming.statusCode ?? 500, headers: incoming.headers, body: await buffer(incoming) };
  }

  const server = createServer((incoming, response) => {
    // A connection that breaks on the far side breaks on this one too.
    answer(incoming, response).catch(() => response.socket?.resetAndDestroy());
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  owner.teardown(() => {
    server.close();
    server.closeAllConnections();
  });
  const address = server.address();
  return {
    url: `http://127.0.0.1:${typeof address === 'object' && address !== null ? address.port : ''}`,
    set: (milliseconds) => {
      staleness = milliseconds;
      if (milliseconds === 0) former.clear();
    },
    calls: () => calls,
  };
}

function give(response: ServerResponse, { status, headers, body }: Answer): void {
  const { 'content-type': type = 'application/x-amz-json-1.1', date } = headers;
  response.writeHead(status, { 'content-type': type, ...(date === undefined ? {} : { date }) }).end(body);
}

function notThere(keyId: string): Answer {
  const body = { __type: 'NotFoundException', message: `Key '${keyId}' does not exist` };
  return { status: 400, headers: {}, body: Buffer.from(JSON.stringify(body)) };
}

function withoutNewKeys(answer: Answer, isHidden: (keyId: string) => boolean): Answer {
  if (answer.status !== 200) return answer;
  const list = JSON.parse(answer.body.toString()) as { Keys: { KeyId: string }[] };
  const Keys = list.Keys.filter(({ KeyId }) => !isHidden(KeyId));
  return { ...answer, body: Buffer.from(JSON.stringify({ ...list, Keys })) };
}

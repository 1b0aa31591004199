import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { type Test, test } from 'tap';
import type { Key } from '../../src/schemas/key.ts';
import { keyward, plain, type Surroundings } from '../support/cli.ts';
import { temporaryFolder } from '../support/process.ts';
import { eventually, startService } from '../support/service.ts';

type Meddle = (request: IncomingMessage, response: ServerResponse) => boolean;

/** Something between the command line and a service, which answers itself what `meddle` says true of. */
async function startBetween(t: Test, url: string) {
  const asked: { method: string; headers: IncomingMessage['headers'] }[] = [];
  const between = {
    asked,
    url: '',
    meddle: (() => false) as Meddle,
    /** Whether the service's answer to a write is lost on its way. */
    losesAnswers: false,
    /** What the service is told of how long to wait, in place of what was asked. */
    prefer: undefined as string | undefined,
  };
  const server = createServer(async (request, response) => {
    const { method = 'GET', headers } = request;
    asked.push({ method, headers });
    if (between.meddle(request, response)) return;
    const body = method === 'GET' ? undefined : Buffer.concat(await request.toArray());
    const sent = Object.fromEntries(Object.entries(headers).filter(([name]) => /^(content-type|idemp|if-)/.test(name)));
    const { prefer = String(headers['prefer'] ?? 'wait=20') } = between;
    const answer = await fetch(new URL(request.url ?? '/', url), {
      method,
      headers: { ...sent, prefer } as Record<string, string>,
      ...(body === undefined || body.length === 0 ? {} : { body }),
    });
    const text = await answer.text();
    if (between.losesAnswers && method !== 'GET') {
      between.losesAnswers = false;
      return void response.destroy();
    }
    const shown = Object.fromEntries([...answer.headers].filter(([name]) => /^(content-type|etag|retry)/.test(name)));
    response.writeHead(answer.status, shown).end(text);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  between.url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  t.teardown(() => {
    server.closeAllConnections();
    server.close();
  });
  return between;
}

/** Where nothing listens. */
async function closedUrl(): Promise<string> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return `http://127.0.0.1:${port}`;
}

test('the command line and a service that is in trouble', async (t) => {
  const { url, call, control } = await startService(t);
  const between = await startBetween(t, url);
  const XDG_CONFIG_HOME = await temporaryFolder(t);
  const at = (args: string[], around: Surroundings = {}) =>
    keyward(args, { env: { KEYWARD_URL: between.url, XDG_CONFIG_HOME }, ...around });

  t.beforeEach(() => {
    Object.assign(between, { meddle: () => false, losesAnswers: false, prefer: undefined });
    between.asked.length = 0;
  });

  t.test('a create whose answer is lost is sent again, and makes one key', async (t) => {
    between.losesAnswers = true;
    const ran = await at(['keys', 'create', '--description', 'made once']);
    t.equal(ran.code, 0, ran.stderr);
    t.match(ran.stderr, /no answer \(.*\); trying again in 1 s/);
    const posts = between.asked.filter(({ method }) => method === 'POST');
    t.equal(posts.length, 2);
    t.match(posts[0]?.headers['idempotency-key'], /^[0-9a-f-]{36}$/);
    t.equal(posts[0]?.headers['idempotency-key'], posts[1]?.headers['idempotency-key']);
    const { body } = await call<{ items: Key[] }>('GET', '/v1/keys?q=made%20once');
    t.equal(body.items.length, 1);
  });

  t.test('it waits as long as it is asked to, and goes on', async (t) => {
    for (const status of [429, 503]) {
      const times: number[] = [];
      between.meddle = (_request, response) => {
        times.push(Date.now());
        if (times.length > 1) return false;
        response.writeHead(status, { 'retry-after': '1', 'content-type': 'application/problem+json' }).end('{}');
        return true;
      };
      t.equal((await at(['keys', 'list'])).code, 0);
      t.ok((times[1] ?? 0) - (times[0] ?? 0) >= 990);
    }
    const problem = {
      title: 'Too many requests',
      status: 429,
      detail: 'Later.',
      request_id: 'r',
      type: '',
      instance: '',
    };
    between.meddle = (_request, response) => {
      const headers = { 'retry-after': '3600', 'content-type': 'application/problem+json' };
      response.writeHead(429, headers).end(JSON.stringify(problem));
      return true;
    };
    const refused = await at(['keys', 'list']);
    t.equal(refused.code, 1, 'an hour is not waited for');
    t.match(refused.stderr, /^Too many requests: Later\.\nTry again in 60 min\.\nrequest r\n$/);
  });

  t.test('an answer of 202 is waited for, and a refusal that comes after it is told', async (t) => {
    between.prefer = 'respond-async';
    const made = await at(['keys', 'create', '--description', 'later']);
    t.equal(made.code, 0, made.stderr);
    const [key] = made.json<Key>();
    t.match(key, { status: { state: 'in_sync' }, arn: /^arn:/ });
    await control.fault({
      kind: 'error',
      operation: 'UpdateKeyDescription',
      type: 'ValidationException',
      message: 'Not that.',
    });
    const refused = await at(['keys', 'update', key?.id ?? '', '--description', 'never'], { columns: 80 });
    await control.clearFaults();
    t.equal(refused.code, 1, refused.stdout);
    t.match(plain(refused.stderr), /UpdateKeyDescription: ValidationException: [\s\S]*The change was taken back whole/);
  });

  t.test('Ctrl-C while KMS is slow says what goes on, and where to look', async (t) => {
    between.prefer = 'respond-async';
    await control.fault({ kind: 'throttle', operation: 'CreateKey', times: null });
    const ctrlC = new AbortController();
    const running = at(['keys', 'create', '--description', 'interrupted'], { interrupted: ctrlC.signal, columns: 80 });
    const key = await eventually('the key is on record', async () => {
      const { body } = await call<{ items: Key[] }>('GET', '/v1/keys?q=interrupted');
      return body.items[0];
    });
    await eventually('it waits', async () => between.asked.some(({ method }) => method === 'GET'));
    ctrlC.abort();
    const { code, stderr } = await running;
    t.equal(code, 130);
    t.match(
      plain(stderr).replaceAll('\n', ' '),
      `Interrupted. Keyward goes on with key ${key.id}: keyward keys get ${key.id} tells how far it is.`,
    );
    await control.clearFaults();
  });

  t.test('a service that is not there, or is none, is told from one that stopped', async (t) => {
    const closed = await closedUrl();
    const nowhere = await at(['keys', 'list'], { env: { KEYWARD_URL: closed, XDG_CONFIG_HOME } });
    t.equal(nowhere.code, 1);
    t.match(
      nowhere.stderr,
      /no answer from http:\/\/127\.0\.0\.1:\d+: .*ECONNREFUSED.*\nNothing listens there\. Is it running/,
    );
    const noName = await at(['keys', 'list'], { env: { KEYWARD_URL: 'http://keyward.invalid', XDG_CONFIG_HOME } });
    t.equal(noName.code, 1);
    t.match(noName.stderr, /keyward\.invalid/);
    t.equal((await at(['keys', 'list'], { env: { KEYWARD_URL: 'keyward', XDG_CONFIG_HOME } })).code, 64);
    for (const [status, type, content] of [
      [200, 'text/html', '<html>a portal</html>'],
      [404, 'text/html', '<html>nothing here</html>'],
      [200, 'application/json', 'not json'],
    ] as const) {
      between.meddle = (_request, response) => {
        response.writeHead(status, { 'content-type': type }).end(content);
        return true;
      };
      const other = await at(['keys', 'list']);
      t.equal(other.code, 1);
      t.match(other.stderr, /not as Keyward does\.\nIs that the URL of Keyward/, `${status} ${type}`);
    }
  });
});

/** A portal's page, served from an origin of its own, does the main job in a real browser, with a token. */
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { type Test, test } from 'tap';
import { addToken, adminToken, callerWith, withTokens } from '../support/access.ts';
import { startService } from '../support/service.ts';
import { openBrowser } from './chromium.ts';

/** What a page sends, and all that its script gets to see of the answer. */
type Sent = { method: string; path: string; headers?: Record<string, string>; body?: unknown; mode?: 'no-cors' };
type Seen = { status: number; headers: Record<string, string>; body: Record<string, unknown> | null };

/** Serves an empty page. @returns its origin. */
async function servePortal(t: Test): Promise<string> {
  const server = createServer((_request, response) => {
    response.setHeader('content-type', 'text/html').end('<!doctype html><title>A portal</title>');
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.teardown(() => server.close());
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

test('a page on another origin', async (t) => {
  const [listed, unlisted] = [await servePortal(t), await servePortal(t)];
  const { url, call } = await startService(t, { ...withTokens, CORS_ORIGINS: listed, RATE_LIMIT_WRITES: '10' });
  const admin = callerWith(url, adminToken);
  const { token } = await addToken(admin, { role: 'editor' });
  const browser = await openBrowser(t);

  /** Opens the page of an origin. @returns what its script does, or the name of the error that it gets. */
  const open = async (origin: string) => {
    const page = await (await browser.newContext()).newPage();
    await page.goto(origin);
    return (sent: Sent): Promise<Seen | string> =>
      page.evaluate(
        async ({ url, token, sent }) => {
          const { method, path, body, mode = 'cors', headers = {} } = sent;
          try {
            const response = await fetch(url + path, {
              method,
              mode,
              headers: mode === 'no-cors' ? headers : { authorization: `Bearer ${token}`, ...headers },
              ...(body === undefined ? {} : { body: JSON.stringify(body) }),
            });
            const text = await response.text();
            const { status } = response;
            return {
              status,
              headers: Object.fromEntries(response.headers),
              body: text === '' ? null : JSON.parse(text),
            };
          } catch (error) {
            return (error as Error).name;
          }
        },
        { url, token, sent },
      );
  };
  const key = { description: 'Made by a page', tags: { team: 'portal' } };
  const json = { 'content-type': 'application/json' };
  const create: Sent = {
    method: 'POST',
    path: '/v1/keys',
    headers: { ...json, prefer: 'wait=30', 'idempotency-key': 'a-page-of-the-portal', 'x-request-id': 'portal-1' },
    body: key,
  };

  t.test('that is listed does the main job and reads the headers of its answers', async (t) => {
    const send = await open(listed);
    const made = (await send(create)) as Seen;
    t.match(made, { status: 201, body: { ...key, status: { state: 'in_sync' } } });
    const { etag = '', location = '' } = made.headers;
    t.match(made.headers, { etag: /^"1\.\d+"$/, location: /^\/v1\/keys\//, 'preference-applied': 'wait=30' });
    t.match(made.headers, { ratelimit: /\d/, 'ratelimit-policy': /\d/, 'x-request-id': 'portal-1' });

    const again = (await send(create)) as Seen;
    t.match(again, { status: 201, headers: { 'idempotent-replayed': 'true' }, body: { id: made.body?.['id'] } });

    const patch: Sent = {
      method: 'PATCH',
      path: location,
      headers: { 'content-type': 'application/merge-patch+json', 'if-match': etag, prefer: 'wait=30' },
      body: { description: 'Changed by a page' },
    };
    const changed = (await send(patch)) as Seen;
    t.match(changed, { status: 200, headers: { etag: /^"2\.\d+"$/ }, body: { description: 'Changed by a page' } });
    t.match(await send(patch), { status: 412, body: { title: 'Stale generation' } }, 'with an old ETag');

    const { headers: shown } = (await send({ method: 'GET', path: location })) as Seen;
    const unchanged = { method: 'GET', path: location, headers: { 'if-none-match': shown['etag'] ?? '' } };
    t.match(await send(unchanged), { status: 304 });
    const deleted = await send({ method: 'DELETE', path: `${location}?deletion_window_in_days=7` });
    t.match(deleted, { status: 202, body: { status: { state: 'pending_deletion' } } });
    const restored = await send({ method: 'POST', path: `${location}/restore`, headers: { prefer: 'respond-async' } });
    t.match(restored, { headers: { 'preference-applied': 'respond-async' } });

    const { status, headers } = await untilRefused(() => send({ method: 'DELETE', path: location }));
    t.match({ status, headers }, { status: 429, headers: { 'retry-after': /^\d+$/ } }, 'and when to come again');
    const nobody = await send({ method: 'GET', path: '/v1/keys', headers: { authorization: 'Bearer kwd_nobody' } });
    t.match(nobody, { status: 401, headers: { 'www-authenticate': /^Bearer/ } });
  });

  t.test('that is not listed can do nothing, even with the token', async (t) => {
    const { token: other } = await addToken(admin, { role: 'editor' });
    const caller = callerWith(url, other);
    const keys = async () => (await caller<{ items: { id: string }[] }>('GET', '/v1/keys?state=pending_deletion')).body;
    const before = await keys();
    const [{ id } = { id: '' }] = before.items;
    t.not(id, '');
    const send = await open(unlisted);
    const headers = { authorization: `Bearer ${other}` };
    for (const [method, path] of [
      ['GET', '/v1/keys'],
      ['POST', '/v1/keys'],
      ['PATCH', `/v1/keys/${id}`],
      ['POST', `/v1/keys/${id}/restore`],
    ] as const) {
      const body = method === 'GET' || path.endsWith('restore') ? {} : { body: key };
      t.equal(await send({ method, path, headers: { ...headers, ...json }, ...body }), 'TypeError', method);
    }
    // What a browser sends without asking first; the page sees nothing of the answer.
    const blind = await send({ method: 'POST', path: '/v1/keys', mode: 'no-cors', body: key });
    t.match(blind, { status: 0, headers: {}, body: null });
    t.same(await keys(), before);
    t.equal((await caller<{ total: number }>('GET', '/v1/keys/summary')).body.total, 1);
    t.equal((await call('GET', '/v1/keys')).status, 401);
  });
});

/** Asks until the limit is reached. */
async function untilRefused(ask: () => Promise<Seen | string>): Promise<Seen> {
  for (let asked = 0; asked < 20; asked += 1) {
    const answer = (await ask()) as Seen;
    if (answer.status === 429) return answer;
  }
  throw new Error('No limit was reached');
}

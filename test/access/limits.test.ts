import { once } from 'node:events';
import { get } from 'node:http';
import { connect } from 'node:net';
import { test } from 'tap';
import { buildApp } from '../../src/app.ts';
import { readConfig, webOf } from '../../src/config.ts';
import type { Key } from '../../src/schemas/key.ts';
import { addToken, adminToken, callerWith, withTokens } from '../support/access.ts';
import { connectTo, newDatabase } from '../support/postgres.ts';
import { caller, eventually, type Problem, startService } from '../support/service.ts';

const portal = 'https://portal.example';

test('limits', async (t) => {
  const DATABASE_URL = await newDatabase(t);
  const { url, control, services } = await startService(t, {
    ...withTokens,
    DATABASE_URL,
    CORS_ORIGINS: `${portal},https://other.example`,
    RATE_LIMIT_WRITES: '8',
    MAX_WRITES_UNDER_WAY: '3',
    MAX_READS_UNDER_WAY: '3',
    MAX_FAILED_SIGN_INS: '5',
    TRUSTED_PROXIES: '127.0.0.1',
  });
  const admin = callerWith(url, adminToken);
  const tokens = [];
  for (let made = 0; made < 4; made += 1) tokens.push(await addToken(admin, { role: 'editor' }));
  const [noisy, quiet, waiting, page] = tokens.map(({ token }) => callerWith(url, token));
  if (noisy === undefined || quiet === undefined || waiting === undefined || page === undefined) return;

  t.test('one caller asks for so many writes a minute; others are not held up by it', async (t) => {
    const first = await noisy('POST', '/v1/keys', { no_such_field: 1 });
    t.equal(first.status, 422);
    t.equal(first.headers.get('ratelimit-policy'), '"writes";q=8;w=60');
    t.match(first.headers.get('ratelimit'), /^"writes";r=7;t=(60|59)$/);
    for (let asked = 1; asked < 8; asked += 1) await noisy('POST', '/v1/keys', { no_such_field: 1 });
    const { status, headers, body } = await noisy<Problem>('POST', '/v1/keys', {});
    t.match({ status, body }, { status: 429, body: { type: '/problems/too-many-requests' } });
    t.ok(Number(headers.get('retry-after')) > 0 && Number(headers.get('retry-after')) <= 60);
    t.equal((await noisy('GET', '/v1/keys')).status, 200, 'reads go on');
    t.equal((await quiet('POST', '/v1/keys', {})).status, 201);
  });

  t.test('so many writes of one caller wait at once', async (t) => {
    const answers = await Promise.all(Array.from({ length: 8 }, () => waiting('POST', '/v1/keys', {})));
    const statuses = answers.map(({ status }) => status);
    t.equal(statuses.filter((status) => status === 201).length, 3, statuses.join(' '));
    t.equal(statuses.filter((status) => status === 429).length, 5);
    t.equal((await waiting('POST', '/v1/keys', { no_such_field: 1 })).status, 422, 'a place is free again');
  });

  t.test('a large body counts as many writes, before it is parsed', async (t) => {
    const { token } = await addToken(admin, { role: 'editor' });
    const call = callerWith(url, token);
    t.equal((await call('POST', '/v1/keys', `{"description":"${'d'.repeat(16_000)}"}`)).status, 422);
    t.equal((await call('POST', '/v1/keys', `{${'x'.repeat(140_000)}`)).status, 429);
    t.equal((await call('POST', '/v1/keys', {})).status, 429, 'they are used up');
  });

  t.test('who hangs up leaves its place to the work that it asked for', async (t) => {
    const { token } = await addToken(admin, { role: 'editor', tags: { team: 'hasty' } });
    await control.fault({ kind: 'throttle', operation: 'CreateKey', times: null });
    const leaving = new AbortController();
    const asked = Array.from({ length: 3 }, () =>
      fetch(`${url}/v1/keys`, {
        method: 'POST',
        headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json', prefer: 'wait=60' },
        body: JSON.stringify({ tags: { team: 'hasty' } }),
        signal: leaving.signal,
      }).catch(() => null),
    );
    const keys = async () => (await admin<{ items: Key[] }>('GET', '/v1/keys?tag=team:hasty')).body.items;
    await eventually('all are recorded', async () => (await keys()).length === 3);
    leaving.abort();
    await Promise.all(asked);
    const again = async () => (await callerWith(url, token)('POST', '/v1/keys', { no_such_field: 1 })).status;
    t.equal(await again(), 429);
    await control.clearFaults();
    await eventually('the work is done, and the places are free', async () => (await again()) === 422);
  });

  t.test('a body that never comes takes a place while its sender is there', async (t) => {
    const { token } = await addToken(admin, { role: 'editor' });
    const { hostname, port } = new URL(url);
    const head = `POST /v1/keys HTTP/1.1\r\nHost: ${hostname}\r\nAuthorization: Bearer ${token}\r\n`;
    const sockets = Array.from({ length: 3 }, () => {
      const socket = connect(Number(port), hostname);
      socket.write(`${head}Content-Type: application/json\r\nContent-Length: 100\r\nExpect: 100-continue\r\n\r\n{`);
      return socket;
    });
    for (const socket of sockets) t.match(String((await once(socket, 'data'))[0]), /^HTTP\/1\.1 100 /);
    const again = async () => (await callerWith(url, token)('POST', '/v1/keys', { no_such_field: 1 })).status;
    await eventually('all places are taken', async () => (await again()) === 429);
    for (const socket of sockets) socket.destroy();
    await eventually('the places are free', async () => (await again()) === 422);
  });

  t.test('so many reads of one caller wait at once', async (t) => {
    const { token } = await addToken(admin, { role: 'viewer' });
    const client = await connectTo(t, DATABASE_URL);
    await client.query('BEGIN; LOCK TABLE providers IN ACCESS EXCLUSIVE MODE');
    const read = async () => (await callerWith(url, token)('GET', '/v1/providers')).status;
    const answers = Array.from({ length: 4 }, read);
    t.equal(await Promise.race(answers), 429);
    t.equal((await quiet('GET', '/v1/keys')).status, 200, 'others are not held up by it');
    await client.query('ROLLBACK');
    t.same((await Promise.all(answers)).sort(), [200, 200, 200, 429]);
  });

  t.test('a page of a listed origin does the main job with a token; others may not even ask', async (t) => {
    const ask = (origin: string) =>
      fetch(`${url}/v1/keys`, {
        method: 'OPTIONS',
        headers: {
          origin,
          'access-control-request-method': 'POST',
          'access-control-request-headers': 'authorization,content-type,idempotency-key',
        },
      });
    const allowed = await ask(portal);
    t.equal(allowed.headers.get('access-control-allow-origin'), portal);
    t.match(allowed.headers.get('access-control-allow-headers'), /Authorization.*Idempotency-Key/);
    t.match(allowed.headers.get('access-control-allow-methods'), /PATCH/);
    t.equal(allowed.headers.get('access-control-allow-credentials'), null);
    t.equal((await ask('https://evil.example')).headers.get('access-control-allow-origin'), null);

    const made = await page('POST', '/v1/keys', {}, { origin: portal });
    t.equal(made.status, 201);
    t.equal(made.headers.get('access-control-allow-origin'), portal);
    const exposed = made.headers.get('access-control-expose-headers') ?? '';
    for (const name of [
      ...['ETag', 'Location', 'Preference-Applied', 'Idempotent-Replayed', 'Retry-After', 'RateLimit', 'X-Request-Id'],
    ]) {
      t.ok(exposed.split(', ').includes(name), name);
    }
    const refused = await caller(url)<Problem>('GET', '/v1/keys', undefined, { origin: portal });
    t.equal(refused.headers.get('access-control-allow-origin'), portal, 'a page can read why it is refused');
    const evil = await page('POST', '/v1/keys', {}, { origin: 'https://evil.example' });
    t.equal(evil.status, 403);
  });

  t.test('failed sign-ins from one address are bounded; who has a token is let in', async (t) => {
    const wrong = callerWith(url, `kwd_${'x'.repeat(40)}`);
    const statuses = [];
    for (let tried = 0; tried < 7; tried += 1) statuses.push((await wrong('GET', '/v1/keys')).status);
    t.same(statuses, [401, 401, 401, 401, 401, 429, 429]);
    const from = async (address: string) =>
      (await wrong('GET', '/v1/keys', undefined, { 'x-forwarded-for': address })).status;
    const ofOneHouse = [];
    for (let tried = 1; tried < 7; tried += 1) ofOneHouse.push(await from(`2001:db8::${tried}:1`));
    t.same(ofOneHouse, [401, 401, 401, 401, 401, 429], 'the addresses of one IPv6 network are one');
    t.equal(await from('2001:db8:0:1::1'), 401, 'another network is another');
    t.equal((await quiet('GET', '/v1/keys')).status, 200);
    t.equal((await caller(url)('GET', '/v1/keys')).status, 401, 'with nothing, nothing is guessed');
  });

  t.test('every page has a strict policy', async (t) => {
    for (const path of ['/docs', '/docs/', '/docs/scalar.js', '/openapi.json', '/problems/conflict', '/nothing']) {
      const { headers } = await fetch(url + path);
      const policy = headers.get('content-security-policy') ?? '';
      t.match(policy, /default-src '(none|self)'/, path);
      t.notMatch(policy, /unsafe-eval|https:|script-src[^;]*unsafe-inline/, path);
      t.equal(headers.get('x-content-type-options'), 'nosniff');
    }
  });

  t.test('what is answered 503 for want of time is not carried out, and is no failed sign-in', async (t) => {
    const web = webOf(readConfig({ AUTH_MODE: 'tokens', MAX_EVENT_LOOP_DELAY: '1' }));
    const app = await buildApp({ services: { ...services, web }, logger: undefined });
    t.teardown(() => app.close());
    let carriedOut = 0;
    app.post('/probe', { config: { need: 'public' } }, async () => {
      carriedOut += 1;
      return {};
    });
    const lag = new Int32Array(new SharedArrayBuffer(4));
    await eventually('the event loop is late', async () => {
      Atomics.wait(lag, 0, 0, 100);
      return (await app.inject('/problems/not-found')).statusCode === 503;
    });
    const headers = { authorization: `Bearer ${adminToken}` };
    const answer = await app.inject({ method: 'POST', url: '/probe', headers });
    t.match({ status: answer.statusCode, ...answer.json() }, { status: 503, detail: /Nothing was recorded/ });
    t.equal(carriedOut, 0);
    t.equal((await app.inject('/livez')).statusCode, 200, 'it lives');
    const failed = await admin<{ items: { data: { path: string } }[] }>(
      'GET',
      '/v1/events?type=access.sign_in_failed&limit=200',
    );
    t.notOk(failed.body.items.some(({ data }) => data.path === '/probe'));
  });

  t.test('headers without end are refused', async (t) => {
    const { hostname, port } = new URL(url);
    const socket = connect(Number(port), hostname);
    socket.write(`GET /v1/keys HTTP/1.1\r\nHost: x\r\n${`X-A: ${'a'.repeat(1000)}\r\n`.repeat(40)}\r\n`);
    const [answer] = await Promise.all([
      new Promise<string>((resolve) => socket.once('data', (data) => resolve(String(data)))),
    ]);
    t.match(answer, /^HTTP\/1\.1 431/);
    socket.destroy();
  });
});

test('a page that somebody opens on a laptop changes nothing there', async (t) => {
  const { url, call, kmsUrl, control } = await startService(t);
  const { body: key } = await call('POST', '/v1/keys', {});
  const rotate = (origin: string) => call('POST', `/v1/keys/${key.id}/rotate`, undefined, { origin });
  t.equal((await rotate('https://evil.example')).status, 403);
  t.equal((await rotate('null')).status, 403);
  t.equal((await rotate(url)).status, 200, 'but the page of its own documentation may');
  const fault = [{ kind: 'error', operation: 'CreateKey', type: 'KMSInternalException' }];
  const toKms = await caller(kmsUrl)('POST', '/_local/faults', JSON.stringify(fault), {
    origin: 'https://evil.example',
    'content-type': 'text/plain',
  });
  t.equal(toKms.status, 403);
  t.same((await control.faults()).body.faults, []);
});

/** The status of an answer to a request that names the service as its URL does not. */
function statusAs(url: string, host: string, path: string, headers: Record<string, string> = {}) {
  return new Promise<number | undefined>((resolve, reject) => {
    const request = get(new URL(path, url), { agent: false, headers: { ...headers, host } }, (response) => {
      response.resume();
      resolve(response.statusCode);
    });
    request.on('error', reject);
  });
}

test('with AUTH_MODE=none a page that has its name lead here reads nothing', async (t) => {
  const { url, services } = await startService(t, { CORS_ORIGINS: 'https://portal.example' });
  const { port } = new URL(url);
  for (const host of ['evil.example', `evil.example:${port}`, '127.0.0.1.evil.example', 'localhost.evil.example']) {
    for (const path of ['/v1/keys', '/docs', '/openapi.json', '/metrics']) {
      t.equal(await statusAs(url, host, path), 403, `${host} ${path}`);
    }
    t.equal(await statusAs(url, host, '/livez'), 200, 'probes use any name');
  }
  for (const host of ['127.0.0.1', 'localhost', 'LOCALHOST', '[::1]', '127.8.0.1', 'portal.example']) {
    for (const name of [host, `${host}:${port}`]) t.equal(await statusAs(url, name, '/v1/keys'), 200, name);
    t.equal(await statusAs(url, `${host}:3000`, '/docs', { 'sec-fetch-site': 'none' }), 200, `${host} in a browser`);
  }

  // Opened to others, as with compose.
  const web = webOf(readConfig({ HOST: '0.0.0.0', AUTH_MODE: 'none' }));
  const app = await buildApp({ services: { ...services, web }, logger: undefined });
  t.teardown(() => app.close());
  const opened = await app.listen({ host: '127.0.0.1', port: 0 });
  t.equal(await statusAs(opened, 'keyward:3000', '/v1/keys'), 200, 'a script uses any name');
  t.equal(await statusAs(opened, '127.0.0.1:3000', '/docs', { 'sec-fetch-site': 'none' }), 200);
  t.equal(await statusAs(opened, 'evil.example', '/v1/keys', { 'sec-fetch-site': 'same-origin' }), 403);
  t.equal(await statusAs(opened, 'evil.example', '/v1/keys', { origin: 'http://evil.example' }), 403);
});

import { request } from 'node:http';
import { test } from 'tap';
import { readConfig } from '../../src/config.ts';
import { openDatabase } from '../../src/database/client.ts';
import type { AccessMe, NewToken, Token } from '../../src/schemas/access.ts';
import type { EventList } from '../../src/schemas/history.ts';
import { listTokens, revokeToken, takeBootstrapToken } from '../../src/services/access/tokens.ts';
import { addToken, adminToken, callerWith, withTokens } from '../support/access.ts';
import { newDatabase } from '../support/postgres.ts';
import { run, startProcess, temporaryFolder } from '../support/process.ts';
import { caller, eventually, type Problem, startService } from '../support/service.ts';

type List<Item> = { items: Item[] };

test('API tokens: made once, kept as a digest, revoked everywhere', async (t) => {
  const DATABASE_URL = await newDatabase(t);
  const service = await startService(t, { ...withTokens, DATABASE_URL });
  const { url, services } = service;
  const admin = callerWith(url, adminToken);

  t.test('without credentials nothing under /v1 is answered; health and documentation are', async (t) => {
    const nobody = caller(url);
    const { status, headers, body } = await nobody<Problem>('GET', '/v1/keys');
    t.match({ status, body }, { status: 401, body: { type: '/problems/unauthenticated', status: 401 } });
    t.equal(headers.get('www-authenticate'), 'Bearer realm="keyward"');
    for (const open of ['/livez', '/readyz', '/openapi.json', '/docs']) {
      t.equal((await nobody('GET', open)).status, 200, open);
    }
    t.equal((await nobody('GET', '/metrics')).status, 401, 'metrics count the keys of everybody');
    t.equal((await admin('GET', '/metrics')).status, 200);
    for (const authorization of [
      '',
      'Bearer',
      `Basic ${adminToken}`,
      adminToken,
      `Bearer ${adminToken}x`,
      'Bearer a b',
    ]) {
      const answer = await nobody<Problem>('GET', '/v1/keys', undefined, { authorization });
      t.equal(answer.status, 401, authorization);
    }
    const broken = await nobody('POST', '/v1/keys', '{', { 'content-type': 'application/json' });
    t.equal(broken.status, 401, 'no body is read for somebody unknown');
    t.equal((await nobody('GET', `/v1/keys?access_token=${adminToken}`)).status, 401, 'a URL is no place for a token');
  });

  t.test('a token is shown once, and is on record as its digest alone', async (t) => {
    const made = await admin<NewToken>(
      'POST',
      '/v1/tokens',
      { name: 'portal', role: 'editor' },
      { 'idempotency-key': 'k' },
    );
    t.match(made, { status: 201, body: { name: 'portal', expires_at: null, last_used_at: null } });
    t.match(made.body.token, /^kwd_[\w-]{43}[0-9a-f]{8}$/);
    t.equal(made.headers.get('cache-control'), 'no-store');
    const again = await admin('POST', '/v1/tokens', { name: 'portal', role: 'editor' }, { 'idempotency-key': 'k' });
    t.equal(again.status, 409, 'a repeat does not show it again');
    const { items } = (await admin<List<Token>>('GET', '/v1/tokens')).body;
    t.same(
      items.map(({ name }) => name),
      ['bootstrap', 'portal'],
    );
    t.notMatch(JSON.stringify(items), /kwd_/);
    const { rows } = await services.database.pool.query<{ table: string }>(
      "SELECT table_name AS table FROM information_schema.tables WHERE table_schema = 'public'",
    );
    for (const { table } of rows) {
      const { rows: texts } = await services.database.pool.query<{ text: string }>(
        `SELECT t::text AS text FROM ${table} t`,
      );
      t.notOk(
        texts.some(({ text }) => text.includes(made.body.token) || text.includes(adminToken)),
        table,
      );
    }
    const portal = callerWith(url, made.body.token);
    const { body: me } = await portal<AccessMe>('GET', '/v1/access/me');
    t.match(me, {
      subject: 'token:portal',
      kind: 'token',
      bindings: [{ role: 'editor', subject: { token: 'portal' } }],
    });
    t.ok(me.permissions.includes('keys:create') && !me.permissions.includes('tokens:write'));
    const used = (await admin<List<Token>>('GET', '/v1/tokens')).body.items.find(({ name }) => name === 'portal');
    t.match(used?.last_used_at, /:00\.000Z$/, 'the last use is told to the minute');
  });

  t.test('events and revisions tell who, from where, and for whom', async (t) => {
    const { token } = await addToken(admin, { role: 'editor' });
    const { body: me } = await callerWith(url, token)<AccessMe>('GET', '/v1/access/me');
    const { body: key } = await callerWith(url, token)('POST', '/v1/keys', {}, { 'user-agent': 'a portal' });
    const { body: events } = await admin<EventList>('GET', `/v1/keys/${key.id}/events?type=desired_state.changed`);
    t.match(events.items, [{ actor: me.subject, address: '127.0.0.1', user_agent: 'a portal', on_behalf_of: null }]);
    const { body: revisions } = await admin<List<{ actor: string }>>('GET', `/v1/keys/${key.id}/revisions`);
    t.match(revisions.items, [{ actor: me.subject }]);

    const behalf = { 'keyward-on-behalf-of': Buffer.from('Zoë of payments').toString('latin1') };
    const refused = await callerWith(url, token)('PATCH', `/v1/keys/${key.id}`, { description: 'x' }, behalf);
    t.equal(refused.status, 403, 'to speak for others is a right of its own');
    await admin('PATCH', `/v1/keys/${key.id}`, { description: 'x' }, behalf);
    const { body: after } = await admin<EventList>('GET', `/v1/keys/${key.id}/events?type=desired_state.changed`);
    t.match(after.items[0], { actor: 'token:bootstrap', on_behalf_of: 'Zoë of payments' });
    const { body: latest } = await admin<List<object>>('GET', `/v1/keys/${key.id}/revisions`);
    t.match(latest.items, [{ actor: 'token:bootstrap', on_behalf_of: 'Zoë of payments' }, { on_behalf_of: null }]);
  });

  t.test("an Idempotency-Key is its caller's own, and that of whom it acts for", async (t) => {
    const [one, other] = await Promise.all([1, 2].map(() => addToken(admin, { role: 'editor' })));
    const header = { 'idempotency-key': 'the-same' };
    const body = { description: 'of one' };
    const { body: first } = await callerWith(url, one?.token ?? '')('POST', '/v1/keys', body, header);
    const second = await callerWith(url, other?.token ?? '')('POST', '/v1/keys', body, header);
    t.equal(second.headers.get('idempotent-replayed'), null);
    t.not(second.body.id, first.id);
    const forA = await admin('POST', '/v1/keys', body, { ...header, 'keyward-on-behalf-of': 'a' });
    const forB = await admin('POST', '/v1/keys', body, { ...header, 'keyward-on-behalf-of': 'b' });
    t.not(forA.body.id, forB.body.id);
    const nobody = await caller(url)('POST', '/v1/keys', body, header);
    t.equal(nobody.status, 401);

    const { id, name, token } = await addToken(admin, { role: 'editor' });
    const old = await callerWith(url, token)('POST', '/v1/keys', body, header);
    await admin('DELETE', `/v1/tokens/${id}`);
    const { body: heir } = await admin<NewToken>('POST', '/v1/tokens', { name, role: 'editor' });
    const inherited = await callerWith(url, heir.token)('POST', '/v1/keys', body, header);
    t.not(inherited.body.id, old.body.id, 'nor does a token of the same name inherit it');
  });

  t.test('what is taken from a caller while its body is on the way holds for that request', async (t) => {
    const slowly = (token: string, name: string, meanwhile: () => Promise<unknown>) =>
      new Promise<number | undefined>((resolve, reject) => {
        const headers = {
          authorization: `Bearer ${token}`,
          'content-type': 'application/json',
          expect: '100-continue',
        };
        const sent = request(new URL('/v1/tokens', url), { method: 'POST', headers, agent: false }, (response) => {
          response.resume();
          resolve(response.statusCode);
        });
        sent.on('error', reject);
        sent.on('continue', () => {
          meanwhile().then(() => sent.end(JSON.stringify({ name, role: 'admin' })), reject);
        });
        sent.flushHeaders();
      });
    const [revoked, bare] = [await addToken(admin, { role: 'admin' }), await addToken(admin, { role: 'admin' })];
    for (const { token } of [revoked, bare]) t.equal((await callerWith(url, token)('GET', '/v1/tokens')).status, 200);
    t.equal(await slowly(revoked.token, 'heir-1', () => admin('DELETE', `/v1/tokens/${revoked.id}`)), 401);
    const { body: me } = await callerWith(url, bare.token)<AccessMe>('GET', '/v1/access/me');
    const unbind = () => admin('DELETE', `/v1/access/bindings/${me.bindings[0]?.id}`);
    t.equal(await slowly(bare.token, 'heir-2', unbind), 403);
    const { items } = (await admin<List<Token>>('GET', '/v1/tokens')).body;
    t.notOk(items.some(({ name }) => name.startsWith('heir')));
  });

  t.test('a revoked token is refused by every replica within five seconds, an expired one at once', async (t) => {
    const other = await startService(t, { AUTH_MODE: 'tokens', DATABASE_URL, KMS_ENDPOINT: service.kmsUrl });
    const { id, token } = await addToken(admin, { role: 'viewer' });
    const replicas = [url, other.url].map((each) => callerWith(each, token));
    for (const call of replicas) t.equal((await call('GET', '/v1/keys')).status, 200);
    t.equal((await admin('DELETE', `/v1/tokens/${id}`)).status, 204);
    const revokedAt = Date.now();
    for (const call of replicas) {
      await eventually('it is refused', async () => (await call('GET', '/v1/keys')).status === 401, 10_000);
    }
    t.ok(Date.now() - revokedAt < 5000, `${Date.now() - revokedAt} ms`);
    t.equal((await admin('DELETE', `/v1/tokens/${id}`)).status, 404);

    // As where the notification is lost.
    const silent = await addToken(admin, { role: 'viewer' });
    const call = callerWith(other.url, silent.token);
    t.equal((await call('GET', '/v1/keys')).status, 200);
    await services.database.pool.query('DELETE FROM api_tokens WHERE id = $1', [silent.id]);
    const deletedAt = Date.now();
    await eventually('it is refused', async () => (await call('GET', '/v1/keys')).status === 401, 10_000);
    t.ok(Date.now() - deletedAt < 5000, `${Date.now() - deletedAt} ms without a notification`);

    const short = await addToken(admin, { role: 'viewer', expires_at: new Date(Date.now() + 1500).toISOString() });
    const brief = callerWith(url, short.token);
    t.equal((await brief('GET', '/v1/keys')).status, 200);
    await eventually('it has expired', async () => (await brief('GET', '/v1/keys')).status === 401, 10_000);
    t.ok(
      Date.now() >=
        Date.parse(
          (await admin<List<Token>>('GET', '/v1/tokens')).body.items.find(({ id: one }) => one === short.id)
            ?.expires_at ?? '',
        ),
    );
    const past = await admin<Problem>('POST', '/v1/tokens', { name: 'past', expires_at: '2020-01-01T00:00:00Z' });
    t.match(past, { status: 422, body: { errors: [{ pointer: '/expires_at' }] } });
  });
});

test('a bootstrap token that was revoked does not come back with the next start', async (t) => {
  const stored = {
    database: openDatabase(
      await newDatabase(t),
      () => {},
      async () => {},
    ),
  };
  t.teardown(() => stored.database.close());
  const names = async () => (await listTokens(stored)).map(({ name }) => name);
  await Promise.all([1, 2].map(() => takeBootstrapToken(stored, adminToken)));
  const [token] = await listTokens(stored);
  t.same(await names(), ['bootstrap']);
  await revokeToken(stored, token?.id ?? '', { actor: 'an admin', requestId: 'none' });
  await takeBootstrapToken(stored, adminToken);
  t.same(await names(), []);
  await takeBootstrapToken(stored, `${adminToken}-another`);
  t.same(await names(), ['bootstrap'], 'another one is a way back in');
});

test('npm run tokens makes a first token beside a running embedded set-up, and without one', async (t) => {
  const DATA_DIR = await temporaryFolder(t);
  const create = async (name: string) => {
    const args = ['create', '--name', name, '--role', 'admin'];
    const { ended, stdout, stderr } = run(t, 'src/tokens.ts', { DATA_DIR }, args);
    t.equal((await ended).code, 0, stderr());
    return stdout().trim();
  };
  const early = await create('early');
  const service = await startProcess(t, { DATA_DIR, AUTH_MODE: 'tokens' });
  const beside = await create('beside');
  for (const token of [early, beside]) {
    const { status, body } = await callerWith(service.url, token)<AccessMe>('GET', '/v1/access/me');
    t.equal(status, 200);
    t.ok(body.permissions.includes('access:write'));
  }
  const { ended, stderr } = run(t, 'src/tokens.ts', { DATA_DIR }, ['create', '--name', 'x', '--role', 'king']);
  t.equal((await ended).code, 1);
  t.match(stderr(), /There is no role "king"/);
  await run(t, 'src/tokens.ts', { DATA_DIR }, ['revoke', '--name', 'early']).ended;
  await eventually('it is refused', async () => {
    return (await callerWith(service.url, early)('GET', '/v1/keys')).status === 401;
  });
  service.child.kill('SIGTERM');
  await service.ended;
});

test('AUTH_MODE=none is for this machine, or asked for by name', async (t) => {
  const fails = (environment: Record<string, string>, words: RegExp) => t.throws(() => readConfig(environment), words);
  fails({ HOST: '0.0.0.0' }, /^AUTH_MODE: must be set with HOST 0\.0\.0\.0/);
  fails({ NODE_ENV: 'production', DATA_DIR: 'x', KMS_ENDPOINT: 'aws' }, /^AUTH_MODE: must be set in production/);
  fails({ AUTH_MODE: 'none,tokens' }, /^AUTH_MODE: none stands alone/);
  fails({ AUTH_MODE: 'password' }, /^AUTH_MODE: "password" is not/);
  fails({ AUTH_MODE: 'tokens', KEYWARD_BOOTSTRAP_TOKEN: 'kwd_short' }, /^KEYWARD_BOOTSTRAP_TOKEN: its value is not/);
  for (const HOST of ['127.0.0.1', '127.8.0.1', '::1', 'localhost']) t.same(readConfig({ HOST }).AUTH_MODE, ['none']);
  t.same(readConfig({ HOST: '0.0.0.0', AUTH_MODE: 'none' }).AUTH_MODE, ['none']);
  t.same(
    readConfig({ HOST: '0.0.0.0', AUTH_MODE: 'tokens,jwt', JWT_ISSUERS: 'https://i', JWT_AUDIENCE: 'k' }).AUTH_MODE,
    ['tokens', 'jwt'],
  );
});

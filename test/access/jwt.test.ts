import { type CryptoKey, exportSPKI, importJWK, SignJWT } from 'jose';
import { test } from 'tap';
import { readConfig } from '../../src/config.ts';
import type { AccessMe } from '../../src/schemas/access.ts';
import { adminToken, callerWith, withTokens } from '../support/access.ts';
import { newKey, startIssuer } from '../support/issuer.ts';
import { client, startOidcProvider } from '../support/oidc.ts';
import { eventually, startService } from '../support/service.ts';

const encode = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url');

test('JWTs of issuers', async (t) => {
  const first = await newKey('one', 'RS256');
  const { state, claims, sign } = await startIssuer(t, first);
  const other = await startIssuer(t, await newKey('one', 'ES256'));
  const withJwt = { ...withTokens, AUTH_MODE: 'tokens,jwt', JWT_AUDIENCE: 'keyward' };
  const { url } = await startService(t, { ...withJwt, JWT_ISSUERS: state.url });
  const admin = callerWith(url, adminToken);
  const status = async (token: string) => (await callerWith(url, token)('GET', '/v1/access/me')).status;

  t.test('a token of the issuer is its subject, with what is given to it and to its groups', async (t) => {
    const call = callerWith(url, await sign(first));
    const before = await call<AccessMe>('GET', '/v1/access/me');
    t.match(before, {
      status: 200,
      body: { kind: 'jwt', subject: 'user:alice', groups: ['payments'], permissions: [] },
    });
    t.equal((await call('GET', '/v1/keys')).status, 403);
    await admin('POST', '/v1/access/bindings', { role: 'viewer', subject: { user: 'alice' } });
    const toGroup = { role: 'editor', subject: { group: 'payments' }, tags: { team: 'payments' } };
    await admin('POST', '/v1/access/bindings', toGroup);
    t.equal((await call('GET', '/v1/keys')).status, 200);
    const made = await call('POST', '/v1/keys', { tags: { team: 'payments' } });
    t.equal(made.status, 201);
    t.equal((await call('POST', '/v1/keys', { tags: { team: 'cards' } })).status, 403);
    const bob = callerWith(url, await sign(first, { sub: 'bob', groups: 'payments' }));
    t.equal((await bob('GET', `/v1/keys/${made.body.id}`)).status, 200, 'one group may be a text');
    const token = { role: 'viewer', subject: { user: 'token:bootstrap' } };
    t.equal((await admin('POST', '/v1/access/bindings', token)).status, 201);
    const mallory = callerWith(url, await sign(first, { sub: 'bootstrap', groups: [] }));
    t.same((await mallory<AccessMe>('GET', '/v1/access/me')).body.permissions, [], 'no user is a token');
  });

  t.test('what is forged, expired, for others or from others is refused', async (t) => {
    const now = Math.floor(Date.now() / 1000);
    const publicKey = await exportSPKI((await importJWK(first.jwk, 'RS256', { extractable: true })) as CryptoKey);
    const hs256 = (secret: string | Uint8Array) =>
      new SignJWT(claims())
        .setProtectedHeader({ alg: 'HS256', kid: 'one' })
        .sign(typeof secret === 'string' ? new TextEncoder().encode(secret) : secret);
    const thief = await newKey('one', 'RS256');
    const attacker = `${state.url}/jwks`;
    const good = await sign(first);
    const [header, , signature] = good.split('.');
    const attacks: Record<string, string> = {
      'alg none': `${encode({ alg: 'none', kid: 'one' })}.${encode(claims())}.`,
      'alg None': `${encode({ alg: 'None' })}.${encode(claims())}.x`,
      'HS256 with the public key as its secret': await hs256(publicKey),
      'HS256 with the JWK as its secret': await hs256(JSON.stringify(first.jwk)),
      HS512: `${encode({ alg: 'HS512', kid: 'one' })}.${encode(claims())}.${signature}`,
      'another issuer': await other.sign(await newKey('one', 'ES256')),
      'an issuer of nearly the name': await sign(first, { iss: `${state.url}/` }),
      'another audience': await sign(first, { aud: 'billing' }),
      'no audience': await sign(first, { aud: [] }),
      expired: await sign(first, { exp: now - 30 }),
      'not yet valid': await sign(first, { nbf: now + 60 }),
      'without an end': await sign(first, { exp: undefined as never }),
      'without a subject': await sign(first, { sub: undefined as never }),
      'a subject with a line break': await sign(first, { sub: 'alice\nadmin' }),
      'a subject that turns the direction of writing': await sign(first, { sub: 'alice\u202Enimda' }),
      'half of a character': await sign(first, { sub: 'alice\ud800' }),
      'a subject without end': await sign(first, { sub: 'a'.repeat(257) }),
      'a subject that is no text': await sign(first, { sub: ['alice'] as never }),
      'a key of another with the same kid': await sign(thief),
      'jku to another place': await sign(thief, {}, { jku: attacker }),
      'x5u to another place': await sign(thief, {}, { x5u: attacker, kid: 'thief' }),
      'its own key in the header': await sign(thief, {}, { jwk: thief.jwk as never }),
      'a critical header that nobody knows': `${encode({ alg: 'RS256', kid: 'one', crit: ['x'], x: 1 })}.${encode(claims())}.${signature}`,
      'a changed payload': `${header}.${encode(claims({ sub: 'root' }))}.${signature}`,
      'no signature': good.slice(0, good.lastIndexOf('.') + 1),
      'five parts': `${good}.a.b`,
      'no JWT': 'eyJhbGciOiJub25lIn0',
    };
    for (const [name, token] of Object.entries(attacks)) t.equal(await status(token), 401, name);
    t.equal(await status(good), 200);
    t.equal(await status(await sign(first, { aud: ['billing', 'keyward'] })), 200, 'one audience of several is ours');
    const odd = {
      groups: [...Array.from({ length: 1000 }, (_, index) => `g${index}`), 7, null, { admin: true }, 'a\nb'],
    };
    const { body } = await callerWith(url, await sign(first, odd))<AccessMe>('GET', '/v1/access/me');
    t.equal(body.groups.length, 1000, 'groups that are no names are none');
  });

  t.test('an unknown kid costs one request for keys, not one each; new keys are found without a restart', async (t) => {
    const stranger = await newKey('stranger', 'RS256');
    const before = state.asked;
    const token = await sign(stranger);
    await Promise.all(Array.from({ length: 50 }, async () => t.equal(await status(token), 401)));
    t.ok(state.asked - before <= 1, `${state.asked - before} requests`);

    for (const alg of ['ES256', 'PS256', 'EdDSA']) {
      const next = await newKey(`next-${alg}`, alg);
      state.keys.push(next);
      const signed = await sign(next);
      await eventually(`${alg} is taken`, async () => (await status(signed)) === 200);
    }
    state.keys.splice(0, 1);
    state.isAway = true;
    const known = await sign(state.keys[0] ?? first, { sub: 'carol' });
    t.equal(await status(known), 200, 'an issuer that is away stops nobody whose key is known');
    t.equal(await status(await sign(stranger)), 401);
    state.isAway = false;
  });

  t.test('with several issuers a name is that of one of them', async (t) => {
    const key = await newKey('two', 'ES256');
    const second = await startIssuer(t, key);
    const both = await startService(t, { ...withJwt, JWT_ISSUERS: `${second.state.url},${other.state.url}` });
    const admin = callerWith(both.url, adminToken);
    const subject = { user: 'alice' };
    t.equal((await admin('POST', '/v1/access/bindings', { role: 'viewer', subject })).status, 422);
    const named = { ...subject, issuer: second.state.url };
    t.equal((await admin('POST', '/v1/access/bindings', { role: 'viewer', subject: named })).status, 201);
    t.equal((await callerWith(both.url, await second.sign(key))('GET', '/v1/keys')).status, 200);
    const namesake = await other.sign(other.state.keys[0] as typeof key);
    const { body } = await callerWith(both.url, namesake)<AccessMe>('GET', '/v1/access/me');
    t.match(body, { subject: `user:alice of ${other.state.url}`, permissions: [] });
  });

  t.test('an access token of a real OIDC server is taken', async (t) => {
    const { issuer, stop } = await startOidcProvider();
    t.teardown(stop);
    const resource = 'https://keyward.example';
    const keyward = await startService(t, {
      ...withJwt,
      JWT_ISSUERS: issuer,
      JWT_AUDIENCE: resource,
      JWT_GROUPS_CLAIM: 'roles',
    });
    const toPortals = { role: 'editor', subject: { group: 'portals' } };
    await callerWith(keyward.url, adminToken)('POST', '/v1/access/bindings', toPortals);
    const response = await fetch(`${issuer}/token`, {
      method: 'POST',
      headers: { authorization: `Basic ${Buffer.from(`${client.id}:${client.secret}`).toString('base64')}` },
      body: new URLSearchParams({ grant_type: 'client_credentials', resource }),
    });
    const { access_token: token } = (await response.json()) as { access_token: string };
    const call = callerWith(keyward.url, token);
    const { body } = await call<AccessMe>('GET', '/v1/access/me');
    t.match(body, { kind: 'jwt', subject: 'user:portal', groups: ['portals'] });
    t.equal((await call('POST', '/v1/keys', {})).status, 201);
    t.equal((await callerWith(url, token)('GET', '/v1/keys')).status, 401, 'but by its own issuer alone');
  });
});

test('jwt needs issuers that nobody can stand between, and an audience', async (t) => {
  const fails = (environment: Record<string, string>, words: RegExp) =>
    t.throws(() => readConfig({ AUTH_MODE: 'jwt', ...environment }), words);
  fails({}, /^JWT_ISSUERS: must be set/);
  fails({ JWT_ISSUERS: 'https://issuer.example' }, /^JWT_AUDIENCE: must be set/);
  fails(
    { JWT_ISSUERS: 'http://issuer.example', JWT_AUDIENCE: 'k' },
    /^JWT_ISSUERS: http:\/\/issuer\.example must be https/,
  );
});

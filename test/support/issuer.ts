/** An OIDC issuer for tests of tokens that no real one would make. */
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { type CryptoKey, exportJWK, generateKeyPair, type JWTHeaderParameters, type JWTPayload, SignJWT } from 'jose';
import type { Owner } from './postgres.ts';

type Key = { kid: string; alg: string; privateKey: CryptoKey; jwk: object };

export async function newKey(kid: string, alg: string): Promise<Key> {
  const { publicKey, privateKey } = await generateKeyPair(alg, { extractable: true });
  return { kid, alg, privateKey, jwk: { ...(await exportJWK(publicKey)), kid, alg, use: 'sig' } };
}

/** Starts it. `keys` are those that it shows; `asked` counts the requests for them. */
export async function startIssuer(t: Owner, first: Key) {
  const state = { keys: [first], asked: 0, isAway: false, url: '' };
  const server = createServer((request, response) => {
    if (state.isAway) return void request.socket.destroy();
    response.setHeader('content-type', 'application/json');
    if (request.url === '/.well-known/openid-configuration') {
      return void response.end(JSON.stringify({ issuer: state.url, jwks_uri: `${state.url}/jwks` }));
    }
    state.asked += 1;
    response.end(JSON.stringify({ keys: state.keys.map(({ jwk }) => jwk) }));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  state.url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  t.teardown(() => {
    server.closeAllConnections();
    server.close();
  });
  const claims = (changed: JWTPayload = {}): JWTPayload => {
    const now = Math.floor(Date.now() / 1000);
    return { iss: state.url, aud: 'keyward', sub: 'alice', groups: ['payments'], iat: now, exp: now + 300, ...changed };
  };
  const sign = (key: Key, changed: JWTPayload = {}, header: Partial<JWTHeaderParameters> = {}) =>
    new SignJWT(claims(changed)).setProtectedHeader({ alg: key.alg, kid: key.kid, ...header }).sign(key.privateKey);
  return { state, claims, sign };
}

import type { Socket } from 'node:net';
import { test } from 'tap';
import { buildApp } from '../../src/app.ts';
import { readConfig, webOf } from '../../src/config.ts';
import { addressOf } from '../../src/plugins/requests.ts';
import type { Services } from '../../src/services/context.ts';
import { problemKinds } from '../../src/services/problems.ts';

/** What is asked here needs no database. */
async function appWith(environment: Record<string, string> = {}, role: 'api' | 'worker' = 'api') {
  const web = webOf(readConfig({ AUTH_MODE: 'tokens', ...environment }));
  return buildApp({ services: { web } as Services, logger: undefined, role });
}

test('the type of a problem is a URL at which the caller finds the page of it', async (t) => {
  const forwarded = { 'x-forwarded-host': 'keyward.example.com', 'x-forwarded-proto': 'https' };
  const typeBy = async (app: Awaited<ReturnType<typeof appWith>>, headers: Record<string, string>, url = '/nothing') =>
    (await app.inject({ url, headers })).json<{ type: string }>().type;

  t.test('where the request says that it was sent, unless the service knows better', async (t) => {
    const app = await appWith();
    const host = 'keys.example:8443';
    t.equal(await typeBy(app, { host }), `http://${host}/problems/not-found`);
    t.equal(await typeBy(app, { host, ...forwarded }), `http://${host}/problems/not-found`, 'a proxy must be listed');
    t.equal(await typeBy(app, { host }, '/v1/keys/%zz'), `http://${host}/problems/malformed-request`);
    const behindProxy = await appWith({ TRUSTED_PROXIES: '127.0.0.1' });
    t.equal(await typeBy(behindProxy, { host, ...forwarded }), 'https://keyward.example.com/problems/not-found');
    const published = await appWith({ PUBLIC_URL: 'https://keyward.example.org/', TRUSTED_PROXIES: '127.0.0.1' });
    t.equal(await typeBy(published, { host, ...forwarded }), 'https://keyward.example.org/problems/not-found');
    t.match((await published.inject('/openapi.json')).json(), { servers: [{ url: 'https://keyward.example.org' }] });
  });

  t.test('a Host that is none makes no other URL of it', async (t) => {
    const app = await appWith();
    for (const host of ['', 'a b', '"><script>', 'a:99999', '[::1', 'user:pw@a', 'a/b?c#d', 'a\\b', 'ü.example']) {
      const type = await typeBy(app, { host });
      const { pathname, username, search, hash } = new URL(type);
      t.same([pathname, username, search, hash], ['/problems/not-found', '', '', ''], `${host}: ${type}`);
    }
    const behindProxy = await appWith({ TRUSTED_PROXIES: '127.0.0.1' });
    const odd = await typeBy(behindProxy, { 'x-forwarded-host': 'a', 'x-forwarded-proto': 'javascript' });
    t.match(odd, /^http:/);
  });

  t.test('without a Host it is the address that was called, of whatever form', async (t) => {
    for (const [localAddress, address] of [
      ['127.0.0.1', '127.0.0.1'],
      ['::1', '[::1]'],
      ['::ffff:127.0.0.1', '127.0.0.1'],
      ['fe80::1%eth0', '[fe80::1]'],
    ] as const) {
      t.equal(addressOf({ localAddress, localPort: 3000 } as Socket), `http://${address}:3000`);
    }
  });

  t.test('every kind has its page, in a worker too', async (t) => {
    for (const app of [await appWith(), await appWith({}, 'worker')]) {
      for (const [kind, { status }] of Object.entries(problemKinds)) {
        const page = await app.inject(`/problems/${kind}`);
        t.equal(page.statusCode, 200, kind);
        t.match(page.headers['content-type'], /^text\/markdown/);
        t.match(page.body, `\`${status}\``);
        t.match(page.body, `/problems/${kind}`);
      }
      for (const none of ['nothing', '..%2f..%2fREADME', 'constructor']) {
        t.equal((await app.inject(`/problems/${none}`)).statusCode, 404, none);
      }
    }
  });

  t.test('a PUBLIC_URL that is no origin stops the start', async (t) => {
    for (const url of [
      'keyward.example.com',
      'https://a/b',
      'https://a?b',
      'https://u:p@a',
      'ftp://a',
      'https://a:99999',
    ]) {
      t.throws(() => readConfig({ PUBLIC_URL: url }), /^PUBLIC_URL: /, url);
    }
  });
});

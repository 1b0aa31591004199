import { connect } from 'node:net';
import { Writable } from 'node:stream';
import { gzipSync } from 'node:zlib';
import { pino } from 'pino';
import { test } from 'tap';
import { buildApp } from '../../src/app.ts';
import { eventually, type Problem, startService } from '../support/service.ts';

type Page = { items: unknown[]; next_cursor: string | null };

test('what callers send is taken as it is meant, or refused with a word on it', async (t) => {
  const { url, call, services } = await startService(t);
  const { body: key } = await call('POST', '/v1/keys', { description: 'odd' });
  const at = `/v1/keys/${key.id}`;
  const pointersOf = async (method: string, path: string, body: unknown) => {
    const { status, body: problem } = await call<Problem>(method, path, body);
    t.equal(status, 422, `${method} ${path} ${JSON.stringify(body)}`);
    return problem.errors?.map(({ pointer }) => pointer);
  };

  t.test('a text that PostgreSQL can not hold is named, wherever it is, beside what else is wrong', async (t) => {
    const region = 'eu-west-1';
    for (const text of ['a\0b', 'a\ud800']) {
      const cases: [method: string, path: string, body: object, pointers: string[]][] = [
        ['POST', '/v1/providers', { name: 'a', region, ignore_tags: { keys: ['x', text] } }, ['/ignore_tags/keys/1']],
        [
          'POST',
          '/v1/providers',
          { name: 'a', region: 1, ignore_tags: { key_prefixes: [text] } },
          ['/region', '/ignore_tags/key_prefixes/0'],
        ],
        ['POST', '/v1/providers', { name: 'a', region, endpoint: `http://${text}` }, ['/endpoint']],
        ['PATCH', '/v1/providers/default', { ignore_tags: { keys: [text] } }, ['/ignore_tags/keys/0']],
        ['PATCH', '/v1/providers/default', { default_tags: { team: text } }, ['/default_tags/team']],
        ['POST', '/v1/keys', { description: text, tags: { a: text } }, ['/description', '/tags/a']],
        ['POST', '/v1/keys', { policy: { Id: [{ x: text }] }, colour: 1 }, ['/colour', '/policy/Id/0/x']],
        ['POST', '/v1/keys', { provider: text }, ['/provider']],
        ['PATCH', at, { tags: { [text]: null } }, [`/tags/${text.toWellFormed()}`]],
        ['POST', '/v1/keys/import', { key_id: text }, ['/key_id']],
        ['POST', `${at}/resolve`, { key_id: text, is_mine: true }, ['/key_id']],
        ['POST', '/v1/recovery/resume', { keys: [text], as: 'observed' }, ['/keys/0']],
        ['POST', '/v1/keys/plan', { custom_key_store_id: text }, ['/custom_key_store_id']],
      ];
      for (const [method, path, body, pointers] of cases) {
        const told = await pointersOf(method, path, body);
        t.same(
          told?.map((pointer) => pointer.toWellFormed()),
          pointers,
        );
      }
    }
    for (const path of [
      'events?provider',
      'events?key',
      'unmanaged-keys?provider',
      'keys?tag',
      'recovery/keys?cursor',
    ]) {
      const { status, body } = await call<Problem>('GET', `/v1/${path}=%00`);
      t.equal(status, 400, path);
      t.match(body.detail, path.split('?')[1]);
    }
  });

  t.test('a body that is wrong in very many places, or in a very long word, holds nobody up', async (t) => {
    const provider = { name: 'a', region: 'eu-west-1' };
    for (const [method, path, body] of [
      ['POST', '/v1/providers', { ...provider, allowed_account_ids: Array(19_000).fill(1) }],
      ['POST', '/v1/keys', { ['eyJ'.repeat(30_000)]: 1 }],
    ] as const) {
      const begun = performance.now();
      t.equal((await call(method, path, body)).status, 422);
      t.ok(performance.now() - begun < 5000, `${method} ${path}`);
    }
  });

  t.test('what is wrong with many values of a parameter is told once', async (t) => {
    const { status, body } = await call<Problem>('GET', `/v1/keys?fields=${Array(1000).fill('colour').join()}`);
    t.equal(status, 400);
    t.equal(body.errors?.length, 1);
  });

  t.test('an endpoint is a URL that can be called, without credentials', async (t) => {
    for (const endpoint of ['http://a:99999', 'http://[::1', 'http://:80', 'http://a b', 'ftp://host', 'http://']) {
      for (const [method, path] of [
        ['POST', '/v1/providers'],
        ['PATCH', '/v1/providers/default'],
      ] as const) {
        const body = method === 'POST' ? { name: 'wrong', region: 'eu-west-1', endpoint } : { endpoint };
        t.same(await pointersOf(method, path, body), ['/endpoint']);
      }
    }
    const long = { name: 'wrong', region: `${'a'.repeat(60)}-b-1` };
    t.same(await pointersOf('POST', '/v1/providers', long), ['/region'], 'a Region is a part of a host name');
    const secret = { name: 'secret', region: 'eu-west-1', endpoint: 'http://user:pw@host:4566' };
    const { status, body } = await call<Problem>('POST', '/v1/providers', secret);
    t.equal(status, 422);
    t.match(body.errors, [{ pointer: '/endpoint', detail: /password/ }]);
    t.equal((await call('GET', '/v1/providers/secret')).status, 404);
  });

  t.test('If-Match takes weak tags too: proxies weaken those of what they compress', async (t) => {
    const etag = (await call('GET', at)).headers.get('etag') ?? '';
    const change = (path: string, body: object, condition: string) =>
      call('PATCH', path, body, { 'if-match': condition });
    t.equal((await change(at, { tags: { a: '1' } }, `W/${etag}`)).status, 200);
    t.equal((await change(at, { tags: { a: '2' } }, `W/${etag}`)).status, 412, 'now it is stale');
    const provider = '/v1/providers/default';
    const tag = (await call('GET', provider)).headers.get('etag');
    t.equal((await change(provider, { refresh_interval_seconds: 500 }, `W/${tag}`)).status, 200);
    t.equal((await change(provider, { refresh_interval_seconds: 600 }, `"0", W/${tag}`)).status, 412);
  });

  t.test('OPTIONS and Allow say what a path takes, those of a path of its own above all', async (t) => {
    const answer = await call('OPTIONS', at);
    t.equal(answer.status, 204);
    t.equal(answer.headers.get('accept-patch'), 'application/merge-patch+json, application/json');
    const allowed = async (method: string, path: string, status: number) => {
      const { status: actual, headers } = await call(method, path);
      t.equal(actual, status, `${method} ${path}`);
      return headers.get('allow');
    };
    t.equal(await allowed('OPTIONS', '/v1/keys', 204), 'GET, HEAD, OPTIONS, POST');
    t.equal(await allowed('OPTIONS', '/v1/nothing', 404), null);
    t.equal(await allowed('DELETE', '/v1/keys', 405), 'GET, HEAD, OPTIONS, POST');
    t.equal(await allowed('QUERY', '/v1/keys', 405), 'GET, HEAD, OPTIONS, POST');
    for (const method of ['GET', 'HEAD', 'PATCH', 'DELETE', 'QUERY']) {
      for (const path of ['/v1/keys/import', '/v1/keys/plan']) {
        t.equal(await allowed(method, path, 405), 'OPTIONS, POST');
      }
    }
  });

  t.test('a compressed body is 415, with what would be right', async (t) => {
    const headers = { 'content-type': 'application/json', 'content-encoding': 'gzip' };
    const answer = await fetch(`${url}/v1/keys`, { method: 'POST', headers, body: gzipSync('{}') });
    t.equal(answer.status, 415);
    t.equal(answer.headers.get('accept-encoding'), 'identity');
    t.match(await answer.json(), { detail: /Content-Encoding "gzip"/ });
    t.equal((await call('POST', '/v1/keys/plan', {}, { 'content-encoding': 'identity' })).status, 200);
  });

  t.test('numbers and booleans of a query are written in their one way', async (t) => {
    const lists = ['keys', 'providers', 'events', 'unmanaged-keys', 'recovery/keys', `keys/${key.id}/revisions`];
    for (const list of lists) {
      for (const limit of ['0x10', '1e1', '%205', '5.0', '', '+5', '0b1', '1&limit=2', 'Infinity', '9'.repeat(40)]) {
        const { status, body } = await call<Problem>('GET', `/v1/${list}?limit=${limit}`);
        t.equal(status, 400, `${list} ${limit}`);
        t.match(body.errors, [{ detail: /\S/ }]);
      }
      t.equal((await call('GET', `/v1/${list}?limit=5`)).status, 200);
    }
    for (const value of ['1', 'TRUE', 'yes', '']) {
      t.equal((await call('GET', `/v1/keys?is_enabled=${value}`)).status, 400, value);
    }
    t.equal((await call('DELETE', `${at}?deletion_window_in_days=0x10`)).status, 400);
  });

  t.test('a cursor is good for the list that gave it', async (t) => {
    for (const name of ['one', 'two']) await call('POST', '/v1/providers', { name, region: 'eu-west-1' });
    const other = (await call('POST', '/v1/keys', {})).body.id;
    for (const id of [key.id, other]) await call('PATCH', `/v1/keys/${id}`, { description: 'again' });
    const lists = ['keys', 'providers', 'events', `${at.slice(4)}/events`, `keys/${other}/events`];
    lists.push(`${at.slice(4)}/revisions`, `keys/${other}/revisions`);
    const cursors = await Promise.all(
      lists.map(async (list) => (await call<Page>('GET', `/v1/${list}?limit=1`)).body.next_cursor),
    );
    for (const [index, list] of lists.entries()) {
      for (const [from, cursor] of cursors.entries()) {
        const { status } = await call('GET', `/v1/${list}?cursor=${cursor}`);
        t.equal(status, index === from ? 200 : 400, `${lists[from]} at ${list}`);
      }
    }
  });

  t.test('every entry of errors has a code that a program can go by', async (t) => {
    const { body: fixed } = await call('POST', '/v1/keys', { multi_region: true });
    const cases: [method: string, path: string, body: object | string | undefined, ...told: string[]][] = [
      ['POST', '/v1/keys', { colour: 1, deletion_window_in_days: 1 }, 'unknown_field', 'out_of_range'],
      ['POST', '/v1/keys', { is_enabled: 'yes', key_usage: 'X' }, 'invalid_type', 'invalid_value'],
      ['POST', '/v1/keys', { description: 'x'.repeat(9000), xks_key_id: '' }, 'too_long', 'too_short'],
      ['POST', '/v1/keys', { rotation_period_in_days: 100, provider: 'none' }, 'incompatible', 'not_found'],
      ['POST', '/v1/keys', { tags: { 'aws:a': '1', 'b?': '2' } }, 'reserved', 'invalid_format'],
      ['POST', '/v1/keys', { description: '\0' }, 'invalid_text'],
      ['POST', '/v1/keys', '{"a":1,"a":1e999}', 'duplicate_member', 'inexact_number'],
      ['POST', '/v1/keys/import', {}, 'required'],
      ['POST', '/v1/providers', { name: 'x', region: 'Europe', endpoint: 'http://:1' }, 'invalid_format'],
      ['PATCH', `/v1/keys/${fixed.id}`, { multi_region: false }, 'immutable'],
      ['GET', '/v1/keys?limit=0&colour=1', undefined, 'unknown_parameter'],
      ['GET', '/v1/keys?limit=0&state=x', undefined, 'out_of_range', 'invalid_value'],
      ['GET', '/v1/events?cursor=x', undefined, 'invalid_value'],
    ];
    for (const [method, path, body, ...told] of cases) {
      const { body: problem } = await call<Problem>(method, path, body);
      const codes = problem.errors?.map(({ code }) => code) ?? [];
      t.ok(
        told.every((code) => codes.includes(code)),
        `${path} ${told}: ${codes}`,
      );
      const place = method === 'GET' ? 'parameter' : 'pointer';
      t.ok(problem.errors?.every((error) => error[place] !== undefined));
    }
  });

  t.test('an object with two members of one name is refused', async (t) => {
    t.same(await pointersOf('POST', '/v1/keys', '{"tags":{"a":"1","\\u0061":"2"}}'), ['/tags/a']);
  });

  t.test('a client that hangs up is no error of the service', async (t) => {
    const lines: string[] = [];
    const stream = new Writable({ write: (line, _encoding, done) => done(void lines.push(String(line))) });
    const app = await buildApp({ services, logger: pino({ level: 'debug' }, stream) });
    t.teardown(() => app.close());
    const { port } = new URL(await app.listen({ host: '127.0.0.1', port: 0 }));
    const socket = connect(Number(port), '127.0.0.1');
    socket.write(
      'POST /v1/keys HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: 90\r\n\r\n{"a":',
    );
    await new Promise<void>((resolve) => app.server.once('request', () => resolve()));
    socket.destroy();
    await eventually('it is noticed', async () => lines.some((line) => /the client hung up/.test(line)));
    t.same(
      lines.filter((line) => (JSON.parse(line) as { level: number }).level >= 40),
      [],
    );
  });
});

import { connect } from 'node:net';
import { text } from 'node:stream/consumers';
import fastify from 'fastify';
import { test } from 'tap';
import { readConfig, webOf } from '../../src/config.ts';
import errors from '../../src/plugins/errors.ts';
import validation from '../../src/plugins/validation.ts';
import { keyAnswer } from '../../src/routes/keys/shared.ts';
import { problems } from '../../src/schemas/common.ts';
import type { Services } from '../../src/services/context.ts';
import { type KmsError, ProblemError } from '../../src/services/problems.ts';
import { type Problem, startService, tooSlow } from '../support/service.ts';

/** Sends bytes as they are, and reads the answer to the end. */
async function sendRaw(url: string, request: string | Buffer): Promise<string> {
  const { hostname, port } = new URL(url);
  const socket = connect(Number(port), hostname);
  socket.write(request);
  return text(socket);
}

test('the HTTP contract', async (t) => {
  const { url, call, control } = await startService(t);
  const { body: key } = await call('POST', '/v1/keys', { description: 'http' });

  t.test('every error is problem+json with the same members', async (t) => {
    const cases: [
      answer: Promise<{ status: number; headers: Headers; body: Problem }>,
      status: number,
      kind: string,
    ][] = [
      [call('GET', '/v1/nothing'), 404, 'not-found'],
      [call('GET', '/v1/keys/nothing'), 404, 'not-found'],
      [call('POST', `/v1/keys/${key.id}`, {}), 405, 'method-not-allowed'],
      [call('POST', '/v1/keys', '{"a":'), 400, 'malformed-request'],
      [call('POST', '/v1/keys', ''), 400, 'malformed-request'],
      [call('POST', '/v1/keys'), 400, 'malformed-request'],
      [call('POST', '/v1/keys', 'null'), 400, 'malformed-request'],
      [call('POST', '/v1/keys', '{"__proto__":{"a":1}}'), 400, 'malformed-request'],
      [call('POST', '/v1/keys', 'x', { 'content-type': 'text/plain' }), 415, 'unsupported-media-type'],
      [
        call('POST', '/v1/keys', '{}', { 'content-type': 'application/merge-patch+json' }),
        415,
        'unsupported-media-type',
      ],
      [call('POST', '/v1/keys', `{"description":"${'x'.repeat(600_000)}"}`), 413, 'body-too-large'],
      [call('POST', '/v1/keys', '[]'), 422, 'invalid-input'],
      [call('POST', '/v1/keys', '"text"'), 422, 'invalid-input'],
      [call('POST', '/v1/keys', { colour: 1 }), 422, 'invalid-input'],
      [call('GET', '/v1/keys?limit=0'), 400, 'malformed-request'],
      [call('PATCH', `/v1/keys/${key.id}`, {}, { 'if-match': '"99.1"' }), 412, 'stale-generation'],
      [call('POST', `/v1/keys/${key.id}/restore`), 409, 'conflict'],
    ];
    for (const [answer, status, kind] of cases) {
      const { status: actual, headers, body } = await answer;
      t.equal(actual, status, kind);
      t.match(headers.get('content-type'), /^application\/problem\+json/);
      t.match(body, { type: `${url}/problems/${kind}`, status, title: String, detail: /\S/ });
      t.match(body.instance, /^\/v1\//);
      t.equal(body.request_id, headers.get('x-request-id'));
    }
  });

  t.test('a body that can not be read is told from one that is not taken', async (t) => {
    for (const [body, said] of [
      ['{"a":', /not valid JSON: .*end/],
      ['{"tags":{"__proto__":"x"}}', /named __proto__/],
      ['{"constructor":{"prototype":{}}}', /constructor/],
    ] as const) {
      const { status, body: problem } = await call<Problem>('POST', '/v1/keys', body);
      t.equal(status, 400);
      t.match(problem.detail, said);
      t.equal(/not valid JSON/.test(problem.detail), body === '{"a":');
    }
  });

  t.test('a query parameter that a route does not know is refused, and nothing is done', async (t) => {
    for (const [method, path, body] of [
      ['GET', `/v1/keys/${key.id}`],
      ['POST', '/v1/keys', {}],
      ['POST', '/v1/keys/plan', {}],
      ['PATCH', `/v1/keys/${key.id}`, { description: 'dry' }],
      ['POST', `/v1/keys/${key.id}/plan`, {}],
      ['POST', `/v1/keys/${key.id}/rollback`, { generation: 1 }],
      ['POST', `/v1/keys/${key.id}/rotate`],
      ['GET', `/v1/keys/${key.id}/rotations`],
      ['DELETE', `/v1/keys/${key.id}`],
    ] as const) {
      const { status, body: problem } = await call<Problem>(method, `${path}?dry_run=true`, body);
      t.equal(status, 400, `${method} ${path}`);
      t.match(problem.errors, [{ parameter: 'dry_run', code: 'unknown_parameter' }]);
    }
    t.match((await call('GET', `/v1/keys/${key.id}`)).body, { description: 'http', status: { generation: 1 } });
    t.equal((await call('GET', '/livez?probe=1')).status, 200);
  });

  t.test('405 says in Allow what is possible', async (t) => {
    const allow = async (method: string, path: string) => (await call<Problem>(method, path)).headers.get('allow');
    t.equal(await allow('POST', `/v1/keys/${key.id}`), 'DELETE, GET, HEAD, OPTIONS, PATCH, PUT');
    t.equal(await allow('DELETE', '/v1/keys'), 'GET, HEAD, OPTIONS, POST');
    t.equal(await allow('GET', `/v1/keys/${key.id}/restore`), 'OPTIONS, POST');
    t.equal(await allow('POST', '/livez'), 'GET, HEAD, OPTIONS');
  });

  t.test('ETag and If-None-Match', async (t) => {
    const { headers } = await call('GET', `/v1/keys/${key.id}`);
    const etag = headers.get('etag') ?? '';
    t.match(etag, /^"1\.\d+"$/);
    for (const condition of [etag, `W/${etag}`, `"other", ${etag}`, '*']) {
      const answer = await call('GET', `/v1/keys/${key.id}`, undefined, { 'if-none-match': condition });
      t.equal(answer.status, 304, condition);
      t.equal(answer.headers.get('etag'), etag);
      t.equal(answer.body as unknown, '');
    }
    t.equal((await call('GET', `/v1/keys/${key.id}`, undefined, { 'if-none-match': '"1.99"' })).status, 200);
  });

  t.test('HEAD answers as GET, without the body', async (t) => {
    const { status, headers, body } = await call('HEAD', `/v1/keys/${key.id}`);
    t.equal(status, 200);
    t.match(headers.get('etag'), /^"1\./);
    t.equal(body as unknown, '');
  });

  t.test('X-Request-Id is taken over when it is sane', async (t) => {
    const id = async (given?: string) =>
      (await call('GET', '/livez', undefined, given === undefined ? {} : { 'x-request-id': given })).headers.get(
        'x-request-id',
      );
    t.equal(await id('portal:42.a_b-c'), 'portal:42.a_b-c');
    t.match(await id(), /^[0-9a-f-]{36}$/);
    t.match(await id('x'.repeat(200)), /^[0-9a-f-]{36}$/);
    t.match(await id('a b"c'), /^[0-9a-f-]{36}$/);
  });

  t.test('Prefer, and what of it was applied', async (t) => {
    const applied = async (prefer?: string) => {
      const headers = prefer === undefined ? {} : { prefer };
      const answer = await call('PATCH', `/v1/keys/${key.id}`, { description: `${prefer}` }, headers);
      return [answer.status, answer.headers.get('preference-applied')];
    };
    t.same(await applied(), [200, null]);
    t.same(await applied('wait=5'), [200, 'wait=5']);
    t.same(await applied('wait=600'), [200, 'wait=60']);
    t.same(await applied('handling=strict, wait=7'), [200, 'wait=7']);
    t.same(await applied('wait=soon'), [200, null]);
    t.same(await applied('respond-async'), [202, 'respond-async']);
    await control.settings(tooSlow);
    t.equal((await call('PATCH', `/v1/keys/${key.id}`, { description: 'end' }, { prefer: 'wait=0' })).status, 202);
    await control.settings({ latency_milliseconds: 0 });
  });

  t.test('numbers, encodings and bytes out of the ordinary never get a 500', async (t) => {
    const target = `/v1/keys/${key.id}`;
    const bodies = [
      '{"deletion_window_in_days":1e999}',
      '{"deletion_window_in_days":-0}',
      '{"rotation_period_in_days":9007199254740993}',
      '{"description":"\\u0000"}',
      '{"description":"\\ud800"}',
      '{"tags":{"\\u0000":"x"}}',
      '{"tags":{"a":"\\u0000"}}',
      '{"tags":{"__proto__":"x"}}',
      '{"policy":{"\\u0000":1}}',
      '{"policy":{"a":"\\udfff"}}',
      '{"constructor":{"prototype":{"a":1}}}',
      `{"tags":${'{"a":'.repeat(2000)}1${'}'.repeat(2000)}}`,
      '{"description":"a","description":["b"]}',
    ];
    for (const body of bodies) {
      for (const [method, path] of [
        ['POST', '/v1/keys'],
        ['PATCH', target],
        ['POST', '/v1/keys/import'],
      ] as const) {
        const { status } = await call(method, path, body);
        t.ok(status >= 400 && status < 500, `${method} ${body.slice(0, 60)}: ${status}`);
      }
    }
    for (const path of ['/v1/keys/%00', '/v1/keys/%ff', '/v1/keys/..%2f', `/v1/keys/${'x'.repeat(3000)}`, '/%', '//']) {
      for (const method of ['GET', 'PATCH', 'DELETE']) {
        const answer = await call<Problem>(method, `${url}${path}`, method === 'PATCH' ? {} : undefined);
        t.ok(answer.status >= 400 && answer.status < 500, `${method} ${path.slice(0, 40)}: ${answer.status}`);
        t.match(answer.headers.get('content-type'), /^application\/problem\+json/, path.slice(0, 40));
      }
    }
    const head = 'POST /v1/keys HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: application/json\r\n';
    const badUtf8 = Buffer.concat([
      Buffer.from(`${head}Content-Length: 20\r\n\r\n{"description":"`),
      Buffer.from([0xc3, 0x28]),
      Buffer.from('"}'),
    ]);
    t.match(await sendRaw(url, badUtf8), /^HTTP\/1\.1 400 [\s\S]*not valid UTF-8/);
    t.match(
      await sendRaw(url, 'NONSENSE\r\n\r\n'),
      /^HTTP\/1\.1 400 [\s\S]*application\/problem\+json[\s\S]*malformed-request/,
    );
    t.match(await sendRaw(url, `${head}Content-Length: 2, 3\r\n\r\n{}`), /^HTTP\/1\.1 400 /);
  });

  t.test('livez and readyz', async (t) => {
    t.same((await call('GET', '/livez')).body as unknown, { status: 'ok' });
    t.same((await call('GET', '/readyz')).body as unknown, { status: 'ok', held: false, reason: null });
  });
});

test('an answer that breaks its own schema is a problem, and so is a problem that does', async (t) => {
  const app = fastify();
  app.decorate('services', { web: webOf(readConfig({})) } as Services);
  await app.register(errors);
  await app.register(validation);
  const response = { 200: keyAnswer('A key.'), ...problems(422) };
  const incomplete = { code: 'InternalException', operation: null } as unknown as KmsError;
  app.get('/key', { schema: { response } }, async () => ({ id: 'no more than that' }));
  app.get('/problem', { schema: { response } }, async () => {
    throw new ProblemError('refused-by-kms', 'KMS refused it.', { kmsError: incomplete });
  });
  for (const [path, status, kind] of [
    ['/key', 500, 'internal-error'],
    ['/problem', 422, 'refused-by-kms'],
  ] as const) {
    const answer = await app.inject(path);
    t.equal(answer.statusCode, status);
    t.match(answer.headers['content-type'], /^application\/problem\+json/);
    t.match(answer.json(), { type: `/problems/${kind}`, status, instance: path });
  }
});

import { test } from 'tap';
import { startBackends, startProcess, startProxy } from '../support/process.ts';
import { eventually, type Problem } from '../support/service.ts';

test('while PostgreSQL is away: 503 with Retry-After, and the service recovers by itself', async (t) => {
  const { databaseUrl, kmsUrl } = await startBackends(t);
  const proxy = await startProxy(t, new URL(databaseUrl));
  const { call } = await startProcess(t, { DATABASE_URL: proxy.url, KMS_ENDPOINT: kmsUrl, LOG_LEVEL: 'silent' });
  const { body: key } = await call('POST', '/v1/keys', {});
  proxy.cut();
  for (const [method, path, body] of [
    ['GET', `/v1/keys/${key.id}`],
    ['GET', '/v1/keys'],
    ['POST', '/v1/keys', {}],
    ['PATCH', `/v1/keys/${key.id}`, { description: 'x' }],
    ['DELETE', `/v1/keys/${key.id}`],
    ['POST', `/v1/keys/${key.id}/refresh`],
    ['GET', '/readyz'],
  ] as const) {
    const { status, headers, body: problem } = await call<Problem>(method, path, body);
    t.equal(status, 503, `${method} ${path}`);
    t.match(headers.get('retry-after'), /^\d+$/);
    t.equal(problem.type, '/problems/temporarily-unavailable');
    t.notMatch(JSON.stringify(problem), /SELECT|prisma|ECONN|127\.0\.0\.1/i);
  }
  t.equal((await call('GET', '/livez')).status, 200);
  proxy.mend();
  await eventually('it is ready again', async () => (await call('GET', '/readyz')).status === 200);
  const { status } = await call('PATCH', `/v1/keys/${key.id}`, { description: 'back' });
  t.equal(status, 200);
});

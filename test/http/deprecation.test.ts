import { test } from 'tap';
import { buildApp } from '../../src/app.ts';
import { readConfig, webOf } from '../../src/config.ts';
import { deprecations } from '../../src/schemas/deprecations.ts';
import type { Services } from '../../src/services/context.ts';

const services = { web: webOf(readConfig({ AUTH_MODE: 'tokens' })) } as Services;

test('an operation that goes says so: in the document, and in each of its answers', async (t) => {
  const instead = 'use /readyz.';
  const table = { getLiveness: { since: '2027-01-01', until: '2027-07-01', instead } };
  const app = await buildApp({ services, logger: undefined, deprecations: table });
  const { headers, statusCode } = await app.inject('/livez');
  t.equal(statusCode, 200);
  t.equal(headers['deprecation'], '@1798761600');
  t.equal(headers['sunset'], 'Thu, 01 Jul 2027 00:00:00 GMT');
  t.equal((await app.inject('/problems/conflict')).headers['deprecation'], undefined, 'others say nothing');
  type Operation = { deprecated?: boolean; description: string; responses: { 200: { headers: object } } };
  const { paths } = (await app.inject('/openapi.json')).json<{ paths: Record<string, { get: Operation }> }>();
  const operation = paths['/livez']?.get;
  t.equal(operation?.deprecated, true);
  t.match(operation?.description, instead);
  t.match(operation?.responses[200].headers, { Deprecation: Object, Sunset: Object });
  t.equal(paths['/readyz']?.get.deprecated, undefined);
});

test('nothing goes sooner than six months after that was told', async (t) => {
  const operations = new Set<string>();
  const app = await buildApp({ services, logger: undefined });
  const { paths } = (await app.inject('/openapi.json')).json<{
    paths: Record<string, Record<string, { operationId: string }>>;
  }>();
  for (const methods of Object.values(paths))
    for (const { operationId } of Object.values(methods)) operations.add(operationId);
  for (const [operationId, { since, until }] of Object.entries(deprecations)) {
    t.ok(operations.has(operationId), operationId);
    t.ok(Date.parse(until) - Date.parse(since) >= 180 * 86_400_000, operationId);
  }
});

import { Validator } from '@seriousme/openapi-schema-validator';
import { test } from 'tap';
import { parse } from 'yaml';
import { startService } from '../support/service.ts';

type Schema = { $ref?: string; type?: unknown; [member: string]: unknown };
type Response = { description?: string; content?: Record<string, { schema?: Schema }> };
type Operation = {
  operationId?: string;
  summary?: string;
  tags?: string[];
  parameters?: { in: string; name: string; schema?: Schema }[];
  requestBody?: { content: Record<string, { schema?: Schema }> };
  responses: Record<string, Response>;
};
type Document = {
  openapi: string;
  paths: Record<string, Record<string, Operation>>;
  components: { schemas: Record<string, Schema> };
};

test('the OpenAPI document is one that client generators can read', async (t) => {
  const { call } = await startService(t);
  const { body: document } = await call<Document>('GET', '/openapi.json');
  t.match(document.openapi, /^3\.1\./);
  const { valid, errors } = await new Validator().validate(
    structuredClone(document) as unknown as Record<string, unknown>,
  );
  t.ok(valid, JSON.stringify(errors)?.slice(0, 2000));
  const { body: yaml } = await call<string>('GET', '/openapi.yaml');
  t.same(parse(yaml), document, 'as YAML it says the same');

  for (const page of ['/docs', '/docs/', '/docs/static/swagger-ui.css', '/problems/conflict']) {
    t.equal((await call('GET', page)).status, 200, page);
  }

  const operations = Object.entries(document.paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]) => ({ name: `${method.toUpperCase()} ${path}`, ...operation })),
  );
  const ids = operations.map(({ operationId }) => operationId);
  t.equal(new Set(ids).size, ids.length, 'each operationId is one only');
  for (const { name, operationId, summary, tags, parameters = [], requestBody, responses } of operations) {
    t.match(operationId, /^[a-z][a-zA-Z]+$/, `${name} has an operationId that makes a method name`);
    t.ok(summary && tags?.length, `${name} has a summary and a tag`);
    t.ok(
      parameters.every(({ schema }) => schema !== undefined),
      `${name}: each parameter has a schema`,
    );
    for (const { schema } of Object.values(requestBody?.content ?? {})) {
      t.match(schema?.$ref, /^#\/components\/schemas\/[A-Z]\w+$/, `${name}: its body has a name`);
    }
    for (const [status, { description, content }] of Object.entries(responses)) {
      t.ok(description, `${name} ${status} has a description`);
      const hasNoBody = status === '204' || status === '304';
      t.equal(content === undefined, hasNoBody, `${name} ${status} has a schema exactly when it has a body`);
      for (const [type, { schema }] of Object.entries(content ?? {})) {
        if (type.endsWith('json')) t.match(schema?.$ref, /^#\/components\/schemas\/[A-Z]\w+$/, `${name} ${status}`);
      }
    }
    const isWrite = !/^(GET|HEAD)/.test(name) && !name.endsWith('/plan');
    if (isWrite) {
      const headers = parameters.filter((parameter) => parameter.in === 'header').map((parameter) => parameter.name);
      t.ok(headers.includes('idempotency-key'), `${name} takes an Idempotency-Key`);
    }
  }

  const references = [...JSON.stringify(document).matchAll(/"\$ref":"#\/components\/schemas\/([^"]+)"/g)];
  for (const [, target = ''] of references) t.ok(document.components.schemas[target], `${target} is there`);
  for (const schema of Object.keys(document.components.schemas)) t.match(schema, /^[A-Z][A-Za-z]+$/, schema);

  t.test('what is true or false is a boolean, for generated clients too', async (t) => {
    const { parameters = [] } = document.paths['/v1/keys']?.['get'] ?? {};
    for (const name of ['is_enabled', 'multi_region']) {
      t.match(parameters.find((parameter) => parameter.name === name)?.schema, { type: 'boolean' }, name);
    }
  });

  t.test('a set of values has one name in all answers', async (t) => {
    const { Key, UnmanagedKey, Provider, KeyStatus, Problem } = document.components.schemas as Record<
      string,
      { properties: Record<string, Schema> }
    >;
    const of = (name: string) => ({ $ref: `#/components/schemas/${name}` });
    t.match(Key?.properties, { key_usage: of('KeyUsage'), customer_master_key_spec: of('KeySpec') });
    const orNull = (name: string) => ({ anyOf: [of(name), { type: 'null' }] });
    t.match(UnmanagedKey?.properties, { key_usage: orNull('KeyUsage'), customer_master_key_spec: orNull('KeySpec') });
    for (const schema of [Key, Provider]) t.match(schema?.properties, { drift_policy: of('DriftPolicy') });
    t.match(KeyStatus?.properties, { state: of('SyncState') });
    t.match(Problem?.properties, { kms_error: of('KmsError') });
  });

  t.test('every type of event is listed and described', async (t) => {
    const { Event, EventType } = document.components.schemas;
    t.match(Event, { properties: { type: { $ref: '#/components/schemas/EventType' } } });
    const { enum: types, description } = EventType as { enum: string[]; description: string };
    t.ok(types.length >= 22);
    for (const type of types) t.match(description, `${type}: `);
    const { parameters = [] } = document.paths['/v1/events']?.['get'] ?? {};
    t.same(parameters.find(({ name }) => name === 'type')?.schema?.['enum'], types);
  });

  t.test('the contract has its paths', async (t) => {
    const wanted = `GET /v1/keys, POST /v1/keys, GET /v1/keys/{id}, PATCH /v1/keys/{id}, DELETE /v1/keys/{id},
      POST /v1/keys/{id}/restore, POST /v1/keys/{id}/release, POST /v1/keys/{id}/refresh, POST /v1/keys/{id}/sync,
      POST /v1/keys/{id}/plan, POST /v1/keys/plan, GET /v1/keys/{id}/revisions, POST /v1/keys/{id}/rollback,
      POST /v1/keys/{id}/rotate, GET /v1/keys/{id}/rotations, GET /v1/keys/{id}/events, POST /v1/keys/import,
      GET /v1/unmanaged-keys, GET /v1/events, GET /livez, GET /readyz, GET /metrics`;
    const names = new Set(operations.map(({ name }) => name));
    for (const name of wanted.split(/,\s+/)) t.ok(names.has(name), name);
  });
});

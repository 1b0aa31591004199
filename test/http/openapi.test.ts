import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { CreateKeyCommand } from '@aws-sdk/client-kms';
import { Validator } from '@seriousme/openapi-schema-validator';
import { Ajv2020 } from 'ajv/dist/2020.js';
import formats from 'ajv-formats';
import { test } from 'tap';
import { parse } from 'yaml';
import { startService } from '../support/service.ts';

type Schema = { $ref?: string; type?: unknown; [member: string]: unknown };
type Media = { schema?: Schema; example?: unknown };
type Response = { $ref?: string; description?: string; content?: Record<string, Media> };
type Parameter = { in: string; name: string; schema?: Schema; description?: string };
type Operation = {
  operationId?: string;
  summary?: string;
  tags?: string[];
  description?: string;
  parameters?: Parameter[];
  requestBody?: { content: Record<string, Media> };
  responses: Record<string, Response>;
};
type Document = {
  openapi: string;
  paths: Record<string, Record<string, Operation>>;
  components: { schemas: Record<string, Schema>; responses: Record<string, Response> };
};

/** Every object in a JSON value, with where it is. */
function* objectsIn(value: unknown, at = ''): Generator<[place: string, object: Schema]> {
  if (value === null || typeof value !== 'object') return;
  if (!Array.isArray(value)) yield [at, value as Schema];
  for (const [name, member] of Object.entries(value)) {
    if (name !== 'example' && name !== 'examples') yield* objectsIn(member, `${at}/${name}`);
  }
}

test('the OpenAPI document is one that client generators can read', async (t) => {
  const { call, kms } = await startService(t);
  const { body: document } = await call<Document>('GET', '/openapi.json');
  t.match(document.openapi, /^3\.1\./);
  const { valid, errors } = await new Validator().validate(
    structuredClone(document) as unknown as Record<string, unknown>,
  );
  t.ok(valid, JSON.stringify(errors)?.slice(0, 2000));
  const { body: yaml } = await call<string>('GET', '/openapi.yaml');
  t.same(parse(yaml), document, 'as YAML it says the same');

  for (const page of ['/docs', '/docs/', '/docs/page.js', '/docs/scalar.js', '/docs/icon.svg', '/problems/conflict']) {
    t.equal((await call('GET', page)).status, 200, page);
  }

  const operations = Object.entries(document.paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]) => ({ name: `${method.toUpperCase()} ${path}`, ...operation })),
  );
  const ids = operations.map(({ operationId }) => operationId);
  t.equal(new Set(ids).size, ids.length, 'each operationId is one only');
  const resolved = ({ $ref, ...answer }: Response): Response =>
    ($ref === undefined ? answer : document.components.responses[$ref.split('/').at(-1) ?? '']) ?? {};
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
    for (const [status, answer] of Object.entries(responses)) {
      const { description, content } = resolved(answer);
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
      t.ok(headers.includes('Idempotency-Key'), `${name} takes an Idempotency-Key`);
    }
    for (const parameter of parameters.filter(({ in: place }) => place === 'header')) {
      t.match(parameter.name, /^([A-Z][a-z]+-?)+$/, `${name} ${parameter.name} is spelt as in RFCs`);
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

  t.test('the type of an answer is that of the document, to the letter', async (t) => {
    const { body: key } = await call('POST', '/v1/keys', {});
    for (const [at, type] of [
      [`/v1/keys/${key.id}`, 'application/json'],
      [`/v1/keys/${key.id}?fields=id`, 'application/vnd.keyward.partial+json'],
      ['/v1/keys/none', 'application/problem+json'],
    ] as const) {
      t.equal((await call('GET', at)).headers.get('content-type'), type, at);
    }
  });

  t.test('a set of values has one name', async (t) => {
    const { Key, KeyCreate, Provider, KeyStatus, Problem } = document.components.schemas as Record<
      string,
      { properties: Record<string, Schema> }
    >;
    const of = (name: string) => ({ $ref: `#/components/schemas/${name}` });
    const orNull = (name: string) => ({ anyOf: [of(name), { type: 'null' }] });
    t.match(KeyCreate?.properties, { key_usage: orNull('KeyUsage'), customer_master_key_spec: orNull('KeySpec') });
    const { KeyUsage } = document.components.schemas;
    t.match(Key?.properties, { key_usage: { type: 'string', 'x-extensible-enum': KeyUsage?.['enum'] } });
    for (const schema of [Key, Provider]) t.match(schema?.properties, { drift_policy: of('DriftPolicy') });
    t.match(KeyStatus?.properties, { state: of('SyncState') });
    t.match(Problem?.properties, { kms_error: of('KmsError') });
  });

  t.test('every object and every choice has a name, of which generated clients make one type', async (t) => {
    for (const [at, object] of objectsIn({ paths: document.paths, schemas: document.components.schemas })) {
      if (/^\/schemas\/\w+$/.test(at) || /\/(responses|requestBody|content|parameters)(\/\w+)?$/.test(at)) continue;
      const types = [object.type ?? []].flat().filter((type) => type !== 'null');
      const choices = [object['anyOf'] ?? []].flat().filter((choice) => (choice as Schema).type !== 'null');
      t.notOk(types.includes('object'), `${at}: an object`);
      t.ok(types.length < 2 && choices.length < 2, `${at}: a choice`);
    }
    for (const [name, schema] of Object.entries(document.components.schemas)) {
      const choices = [schema['anyOf'] ?? []].flat() as Schema[];
      t.ok(
        choices.every(
          ({ $ref }) =>
            $ref !== undefined && document.components.schemas[$ref?.split('/').at(-1) ?? '']?.type !== 'array',
        ),
        `${name} is a choice of what has a name, and no list is among it: no class of Java can hold that`,
      );
      const values = [schema['enum'] ?? []].flat() as string[];
      const haveNames = schema['x-enum-varnames'] !== undefined || values.every((value) => /^[A-Za-z]/.test(value));
      t.ok(haveNames, `${name}: each value makes a name`);
    }
  });

  t.test('the document that is committed is this one', async (t) => {
    const committed = await readFile(path.resolve(import.meta.dirname, '../../openapi.yaml'), 'utf8');
    t.ok(committed === yaml, 'npm run docs writes it');
  });

  t.test('everything is described, no default is named, what is shown is open', async (t) => {
    for (const { name, description, parameters = [], requestBody } of operations) {
      t.ok(description, `${name} has a description`);
      for (const parameter of parameters) t.ok(parameter.description, `${name} ${parameter.name}`);
      t.ok(Object.keys(requestBody?.content ?? {}).length < 2, `${name} has one media type`);
    }
    for (const [name, schema] of Object.entries(document.components.schemas)) {
      t.ok(schema['description'], `${name} has a description`);
      for (const [field, property] of Object.entries(schema['properties'] ?? {}) as [string, Schema][]) {
        t.ok(property['description'] ?? property.$ref, `${name}.${field} has a description`);
      }
    }
    const shown = new Set<string>();
    const show = (value: unknown): void => {
      for (const [, name = ''] of JSON.stringify(value).matchAll(/schemas\/(\w+)/g)) {
        if (shown.has(name)) continue;
        shown.add(name);
        show(document.components.schemas[name]);
      }
    };
    for (const { responses } of operations) show(responses);
    show(document.components.responses);
    for (const [at, object] of objectsIn({ paths: document.paths, schemas: document.components.schemas })) {
      t.equal(object['default'], undefined, `${at} names no default`);
      const [, , schema = ''] = at.split('/');
      if (object['enum'] !== undefined) t.match(at, /^\/schemas\/\w+$/, `${at}: a set of values has a name`);
      if (shown.has(schema)) t.not(object['additionalProperties'], false, `${at} is open`);
    }
  });

  t.test('every body and answer has an example that is valid, and bodies can be sent as they are shown', async (t) => {
    const ajv = new Ajv2020({ strict: false, validateSchema: false });
    formats.default(ajv);
    ajv.addSchema(document, 'document');
    const check = (name: string, media: Record<string, Media> = {}) => {
      for (const [type, { schema, example }] of Object.entries(media)) {
        t.not(example, undefined, `${name} ${type} has an example`);
        if (schema?.$ref !== undefined)
          t.ok(ajv.validate(`document${schema.$ref}`, example), `${name}: ${ajv.errorsText()}`);
      }
    };
    for (const { name, requestBody, responses } of operations) {
      check(name, requestBody?.content);
      for (const [status, answer] of Object.entries(responses)) check(`${name} ${status}`, resolved(answer).content);
    }
    const { body: key } = await call('POST', '/v1/keys', {});
    const { KeyMetadata } = await kms.send(new CreateKeyCommand({}));
    for (const [operationId, method, at, status, more] of [
      ['createKey', 'POST', '/v1/keys', 201],
      ['planCreateKey', 'POST', '/v1/keys/plan', 200],
      ['updateKey', 'PATCH', `/v1/keys/${key.id}`, 200],
      ['planUpdateKey', 'POST', `/v1/keys/${key.id}/plan`, 200],
      ['rollbackKey', 'POST', `/v1/keys/${key.id}/rollback`, 200],
      ['replaceKey', 'POST', `/v1/keys/${key.id}/replace`, 200],
      ['resolveKey', 'POST', `/v1/keys/${key.id}/resolve`, 409],
      ['importKey', 'POST', '/v1/keys/import', 201, { key_id: KeyMetadata?.KeyId }],
      ['createProvider', 'POST', '/v1/providers', 201],
      ['updateProvider', 'PATCH', '/v1/providers/payments-prod', 200],
      ['resumeHeldKeys', 'POST', '/v1/recovery/resume', 202],
    ] as const) {
      const { requestBody } = operations.find((operation) => operation.operationId === operationId) ?? {};
      const [media] = Object.values(requestBody?.content ?? {});
      const answer = await call(method, at, { ...(media?.example as object), ...more });
      t.equal(answer.status, status, operationId);
    }
  });

  t.test('every type of event is listed and described', async (t) => {
    const { Event, EventType } = document.components.schemas;
    const { enum: types, description } = EventType as { enum: string[]; description: string };
    t.match(Event, { properties: { type: { 'x-extensible-enum': types } } });
    t.ok(types.length >= 22);
    for (const type of types) t.match(description, `${type}: `);
    const { parameters = [] } = document.paths['/v1/events']?.['get'] ?? {};
    const type = parameters.find(({ name }) => name === 'type');
    t.match(type?.schema, { $ref: '#/components/schemas/EventType' });
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

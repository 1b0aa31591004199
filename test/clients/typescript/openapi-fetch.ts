/** The main job with the types of openapi-typescript and with openapi-fetch; docs/clients.md shows its beginning. */
import assert from 'node:assert/strict';
import createClient from 'openapi-fetch';
import type { components, paths } from './keyward.js';
import { laterUrl, step, token, url } from './step.js';

/** With `fields` answers are of another media type, and their types too. */
type Media = 'application/json' | 'application/problem+json';
const keyward = createClient<paths, Media>({ baseUrl: url, headers: { Authorization: `Bearer ${token}` } });

const created = await keyward.POST('/v1/keys', {
  params: { header: { Prefer: 'wait=20' } },
  body: { description: 'Card data', tags: { team: 'payments' } },
});
if (created.error) throw new Error(created.error.detail);
const { id, status } = created.data;
const changed = await keyward.PATCH('/v1/keys/{id}', {
  params: { path: { id }, header: { 'If-Match': created.response.headers.get('ETag') ?? '' } },
  body: { enable_key_rotation: true, tags: { env: 'prod' } },
});
for (const { code, pointer, detail } of changed.error?.errors ?? []) console.log(code, pointer, detail);

const tags = { client: 'openapi-fetch' };
const path = { id };
type Key = components['schemas']['Key'];
type KeyQuery = NonNullable<paths['/v1/keys']['get']['parameters']['query']>;

async function create(body: components['schemas']['KeyCreate']): Promise<Key> {
  const { data, error } = await keyward.POST('/v1/keys', { params: { header: { Prefer: 'wait=60' } }, body });
  assert(data, error?.detail);
  return data;
}

await step('says who it is', async () => {
  const { data } = await keyward.GET('/v1/access/me');
  assert(data?.permissions.includes('keys:create'));
  const { error, response } = await createClient<paths>({ baseUrl: url }).GET('/v1/keys');
  assert.equal(response.status, 401);
  assert.equal(error?.status, 401);
});

await step('creates a key, and waits for KMS', async () => {
  assert.equal(created.response.status, 201);
  assert.equal(status.state, 'in_sync');
  assert.match(created.data.arn ?? '', /^arn:aws:kms:/);
});

await step('reads it', async () => {
  const { data, response } = await keyward.GET('/v1/keys/{id}', { params: { path } });
  assert.equal(data?.description, 'Card data');
  assert(data.allowed_actions?.includes('keys:update'));
  const etag = response.headers.get('ETag') ?? '';
  const again = await keyward.GET('/v1/keys/{id}', { params: { path, header: { 'If-None-Match': etag } } });
  assert.equal(again.response.status, 304);
});

await step('changes it while its ETag is current', async () => {
  assert.equal(changed.response.status, 200);
  assert.deepEqual(changed.data?.tags, { team: 'payments', env: 'prod' });
});

await step('is told that an ETag is stale', async () => {
  const header = { 'If-Match': '"1.1"' };
  const { error } = await keyward.PATCH('/v1/keys/{id}', { params: { path, header }, body: { is_enabled: false } });
  assert.equal(error?.status, 412);
  assert.match(error.type, /stale-generation$/);
});

await step('is told what is wrong with its input, by code and pointer', async () => {
  const body = { deletion_window_in_days: 3 };
  const { error } = await keyward.PATCH('/v1/keys/{id}', { params: { path }, body });
  assert.equal(error?.status, 422);
  const told = error.errors?.map(({ code, pointer }) => [code, pointer]);
  assert.deepEqual(told, [['out_of_range', '/deletion_window_in_days']]);
  const listed = await keyward.GET('/v1/keys', { params: { query: { limit: 1000 } } });
  assert.equal(listed.error?.errors?.[0]?.parameter, 'limit');
});

await step('plans a change and a key', async () => {
  const change = await keyward.POST('/v1/keys/{id}/plan', { params: { path }, body: { description: 'Planned' } });
  assert.deepEqual(
    change.data?.steps.map(({ operation }) => operation),
    ['UpdateKeyDescription'],
  );
  assert.equal(change.data.changes['description']?.after, 'Planned');
  const key = await keyward.POST('/v1/keys/plan', { body: { multi_region: true } });
  assert.equal(key.data?.steps[0]?.operation, 'CreateKey');
});

await step('brings a default back with null', async () => {
  const given = await keyward.PATCH('/v1/keys/{id}', { params: { path }, body: { drift_policy: 'report' } });
  assert.equal(given.data?.drift_policy, 'report');
  const back = await keyward.PATCH('/v1/keys/{id}', {
    params: { path },
    body: { drift_policy: null, tags: { env: null } },
  });
  assert.equal(back.data?.drift_policy, 'enforce');
  assert.deepEqual(back.data.tags, { team: 'payments' });
});

await step('lists by state and tag, page by page', async () => {
  const made = [
    await create({ tags }),
    await create({ tags, key_usage: 'SIGN_VERIFY', customer_master_key_spec: 'ECC_NIST_P256' }),
  ];
  const found: string[] = [];
  const query: KeyQuery = {
    state: ['in_sync', 'updating'],
    tag: ['client:openapi-fetch'],
    sort: 'created_at',
    limit: 1,
  };
  for (;;) {
    const { data } = await keyward.GET('/v1/keys', { params: { query } });
    assert(data);
    found.push(...data.items.map((key) => key.id));
    if (data.next_cursor === null) break;
    query.cursor = data.next_cursor;
  }
  assert.deepEqual(
    found,
    made.map((key) => key.id),
  );
});

await step('schedules a deletion, and takes it back', async () => {
  const deleted = await keyward.DELETE('/v1/keys/{id}', { params: { path, query: { deletion_window_in_days: 7 } } });
  assert.equal(deleted.data?.status.state, 'pending_deletion');
  assert.match(deleted.data.status.deletion_date ?? '', /Z$/);
  const restored = await keyward.POST('/v1/keys/{id}/restore', { params: { path } });
  assert.equal(restored.data?.status.state, 'in_sync');
  assert.equal(restored.data.is_enabled, true);
});

await step('leaves drift_policy to the provider', async () => {
  const body = {
    name: 'openapi-fetch',
    region: 'eu-west-1',
    drift_policy: 'report',
    quotas: { requests_per_second: { CreateKey: 20 } },
  } as const;
  const { data, error } = await keyward.POST('/v1/providers', { body });
  assert.equal(data?.drift_policy, 'report', error?.detail);
  const key = await create({ provider: 'openapi-fetch' });
  assert.equal(key.drift_policy, 'report');
});

await step('looks at a provider', async () => {
  const params = { path: { name: 'openapi-fetch' } };
  const { data } = await keyward.GET('/v1/providers/{name}', { params });
  assert.equal(data?.region, 'eu-west-1');
  const { quotas } = data;
  assert(quotas !== null && typeof quotas === 'object');
  assert.equal(quotas.requests_per_second['CreateKey'], 20);
  const { data: without } = await keyward.PATCH('/v1/providers/{name}', { params, body: { quotas: 'none' } });
  assert.equal(without?.quotas, 'none');
});

await step('reads the history', async () => {
  const { data: revisions } = await keyward.GET('/v1/keys/{id}/revisions', { params: { path } });
  assert(revisions?.items.some(({ origin, changes }) => origin === 'update' && changes['tags'] !== undefined));
  const query = { type: 'kms.write', key: id } as const;
  const { data: events } = await keyward.GET('/v1/events', { params: { query } });
  assert(events?.items.every(({ type, key }) => type === 'kms.write' && key === id));
});

await step('bears fields and values that come later', async () => {
  const { data } = await createClient<paths>({ baseUrl: laterUrl }).GET('/v1/keys/{id}', {
    params: { path },
    headers: { Authorization: `Bearer ${token}` },
  });
  assert.equal(data?.id, id);
  assert.equal(data.key_usage, 'USAGE_OF_LATER');
});

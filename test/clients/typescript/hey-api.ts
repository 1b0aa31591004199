/** The main job with what @hey-api/openapi-ts generates; docs/clients.md shows its beginning. */
import assert from 'node:assert/strict';
import { client } from './keyward/client.gen.js';
import {
  createKey,
  createProvider,
  deleteKey,
  getAccess,
  getKey,
  getProvider,
  type Key,
  type KeyCreate,
  type ListKeysData,
  listEvents,
  listKeyRevisions,
  listKeys,
  planCreateKey,
  planUpdateKey,
  restoreKey,
  updateKey,
  updateProvider,
} from './keyward/index.js';
import { laterUrl, step, token, url } from './step.js';

client.setConfig({ baseUrl: url, auth: token });

const created = await createKey({
  headers: { Prefer: 'wait=20' },
  body: { description: 'Card data', tags: { team: 'payments' } },
});
if (created.error) throw new Error(created.error.detail);
const { id, status } = created.data;
const changed = await updateKey({
  path: { id },
  headers: { 'If-Match': created.response?.headers.get('ETag') ?? '' },
  body: { enable_key_rotation: true, tags: { env: 'prod' } },
});
for (const { code, pointer, detail } of changed.error?.errors ?? []) console.log(code, pointer, detail);

const tags = { client: 'hey-api' };
const path = { id };

async function create(body: KeyCreate): Promise<Key> {
  const { data, error } = await createKey({ headers: { Prefer: 'wait=60' }, body });
  assert(data, error?.detail);
  return data;
}

await step('says who it is', async () => {
  const { data } = await getAccess();
  assert(data?.permissions.includes('keys:create'));
  const { error, response } = await listKeys({ auth: '' });
  assert.equal(response?.status, 401);
  assert.equal(error?.status, 401);
});

await step('creates a key, and waits for KMS', async () => {
  assert.equal(created.response?.status, 201);
  assert.equal(status.state, 'in_sync');
  assert.match(created.data.arn ?? '', /^arn:aws:kms:/);
});

await step('reads it', async () => {
  const { data, response } = await getKey({ path });
  assert.equal(data?.description, 'Card data');
  assert(data.allowed_actions?.includes('keys:update'));
  const again = await getKey({ path, headers: { 'If-None-Match': response?.headers.get('ETag') ?? '' } });
  assert.equal(again.response?.status, 304);
});

await step('changes it while its ETag is current', async () => {
  assert.equal(changed.response?.status, 200);
  assert.deepEqual(changed.data?.tags, { team: 'payments', env: 'prod' });
});

await step('is told that an ETag is stale', async () => {
  const { error } = await updateKey({ path, headers: { 'If-Match': '"1.1"' }, body: { is_enabled: false } });
  assert.equal(error?.status, 412);
  assert.match(error.type, /stale-generation$/);
});

await step('is told what is wrong with its input, by code and pointer', async () => {
  const { error } = await updateKey({ path, body: { deletion_window_in_days: 3 } });
  assert.equal(error?.status, 422);
  const told = error.errors?.map(({ code, pointer }) => [code, pointer]);
  assert.deepEqual(told, [['out_of_range', '/deletion_window_in_days']]);
  const listed = await listKeys({ query: { limit: 1000 } });
  assert.equal(listed.error?.errors?.[0]?.parameter, 'limit');
});

await step('plans a change and a key', async () => {
  const { data: change } = await planUpdateKey({ path, body: { description: 'Planned' } });
  assert.deepEqual(
    change?.steps.map(({ operation }) => operation),
    ['UpdateKeyDescription'],
  );
  assert.equal(change.changes['description']?.after, 'Planned');
  const { data: key } = await planCreateKey({ body: { multi_region: true } });
  assert.equal(key?.steps[0]?.operation, 'CreateKey');
});

await step('brings a default back with null', async () => {
  const { data: given } = await updateKey({ path, body: { drift_policy: 'report' } });
  assert.equal(given?.drift_policy, 'report');
  const { data: back } = await updateKey({ path, body: { drift_policy: null, tags: { env: null } } });
  assert.equal(back?.drift_policy, 'enforce');
  assert.deepEqual(back.tags, { team: 'payments' });
});

await step('lists by state and tag, page by page', async () => {
  const made = [
    await create({ tags }),
    await create({ tags, key_usage: 'SIGN_VERIFY', customer_master_key_spec: 'ECC_NIST_P256' }),
  ];
  const found: string[] = [];
  const query: ListKeysData['query'] = {
    state: ['in_sync', 'updating'],
    tag: ['client:hey-api'],
    sort: 'created_at',
    limit: 1,
  };
  for (;;) {
    const { data } = await listKeys({ query });
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
  const { data: deleted } = await deleteKey({ path, query: { deletion_window_in_days: 7 } });
  assert.equal(deleted?.status.state, 'pending_deletion');
  assert.match(deleted.status.deletion_date ?? '', /Z$/);
  const { data: restored } = await restoreKey({ path });
  assert.equal(restored?.status.state, 'in_sync');
  assert.equal(restored.is_enabled, true);
});

await step('leaves drift_policy to the provider', async () => {
  const { data } = await createProvider({
    body: {
      name: 'hey-api',
      region: 'eu-west-1',
      drift_policy: 'report',
      quotas: { requests_per_second: { CreateKey: 20 } },
    },
  });
  assert.equal(data?.drift_policy, 'report');
  const key = await create({ provider: 'hey-api' });
  assert.equal(key.drift_policy, 'report');
});

await step('looks at a provider', async () => {
  const of = { path: { name: 'hey-api' } };
  const { data } = await getProvider(of);
  assert.equal(data?.region, 'eu-west-1');
  const { quotas } = data;
  assert(quotas !== null && typeof quotas === 'object');
  assert.equal(quotas.requests_per_second['CreateKey'], 20);
  const { data: without } = await updateProvider({ ...of, body: { quotas: 'none' } });
  assert.equal(without?.quotas, 'none');
});

await step('reads the history', async () => {
  const { data: revisions } = await listKeyRevisions({ path });
  assert(revisions?.items.some(({ origin, changes }) => origin === 'update' && changes['tags'] !== undefined));
  const { data: events } = await listEvents({ query: { type: 'kms.write', key: id } });
  assert(events?.items.every(({ type, key }) => type === 'kms.write' && key === id));
});

await step('bears fields and values that come later', async () => {
  const { data } = await getKey({ path, baseUrl: laterUrl });
  assert.equal(data?.id, id);
  assert.equal(data.key_usage, 'USAGE_OF_LATER');
});

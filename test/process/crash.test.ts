import { test } from 'tap';
import type { Key } from '../../src/schemas/key.ts';
import { allKeyIds, metadata, tags } from '../support/kms-truth.ts';
import { type Service, startBackends, startProcess, temporaryFolder } from '../support/process.ts';
import { eventually, kmsClient } from '../support/service.ts';

async function allKeys({ call }: Service): Promise<Key[]> {
  const { body } = await call<{ items: Key[] }>('GET', '/v1/keys?limit=200');
  return body.items;
}

for (const signal of ['SIGTERM', 'SIGKILL'] as const) {
  test(`${signal} in the middle of 50 creates: every accepted key is there after a restart, in sync, once`, async (t) => {
    const DATA_DIR = await temporaryFolder(t);
    // A write that was cut off is waited for; the shorter, the sooner the test is over.
    const environment = { DATA_DIR, WRITE_DEADLINE_SECONDS: '9', SETTLE_SECONDS: '1' };
    const first = await startProcess(t, environment);
    // So slow that the signal finds calls to KMS under way.
    await fetch(`${first.kmsUrl}/_local/settings`, {
      method: 'PUT',
      body: JSON.stringify({ latency_milliseconds: 30 }),
    });
    const accepted: { id: string; name: string }[] = [];
    const body = (name: string) => ({
      description: name,
      tags: { name },
      enable_key_rotation: true,
      is_enabled: false,
    });
    const creates = Array.from({ length: 50 }, async (_, index) => {
      const name = `key ${index}`;
      const answer = await first.call('POST', '/v1/keys', body(name)).catch(() => undefined);
      if (answer?.status === 201 || answer?.status === 202) accepted.push({ id: answer.body.id, name });
      if (accepted.length === 10) first.child.kill(signal);
    });
    await Promise.all(creates);
    await first.ended;
    t.ok(accepted.length >= 10);

    const second = await startProcess(t, environment);
    const keys = await eventually('all keys are in sync', async () => {
      const all = await allKeys(second);
      return all.every(({ status }) => status.state === 'in_sync') && all;
    });
    const kms = kmsClient(second.kmsUrl ?? '');
    t.teardown(() => kms.destroy());
    for (const { id, name } of accepted) {
      t.match(
        keys.find((key) => key.id === id),
        { description: name },
        name,
      );
    }
    const inKms = await allKeyIds(kms);
    t.same(
      new Set(inKms),
      new Set(keys.map(({ key_id }) => key_id)),
      'each record has its key, and no key is left over',
    );
    const owners = await Promise.all(inKms.map(async (keyId) => (await tags(kms, keyId))['keyward:id']));
    t.same(new Set(owners), new Set(keys.map(({ id }) => id)));
    for (const key of keys) t.equal((await metadata(kms, key.key_id ?? '')).KeyState, 'Disabled');
    second.child.kill('SIGTERM');
    t.equal((await second.ended).code, 0);
  });
}

test('two services on one database and one KMS: 200 PATCHes of 20 keys end in sync with the last generation', async (t) => {
  const { databaseUrl, kmsUrl } = await startBackends(t);
  const environment = { DATABASE_URL: databaseUrl, KMS_ENDPOINT: kmsUrl };
  const services = await Promise.all([startProcess(t, environment), startProcess(t, environment)]);
  const [first, second] = services as [Service, Service];
  const kms = kmsClient(kmsUrl);
  t.teardown(() => kms.destroy());
  const created = await Promise.all(Array.from({ length: 20 }, () => first.call('POST', '/v1/keys', {})));
  const patches = Array.from({ length: 200 }, async (_, index) => {
    const service = index % 2 === 0 ? first : second;
    const id = created[index % 20]?.body.id ?? '';
    const change = { description: `change ${index}`, tags: { change: `${index}` }, is_enabled: index % 3 !== 0 };
    return service.call('PATCH', `/v1/keys/${id}`, change, { prefer: 'respond-async' });
  });
  const answers = await Promise.all(patches);
  t.ok(answers.every(({ status }) => status === 202 || status === 200));
  const keys = await eventually('all keys are in sync', async () => {
    const all = await allKeys(second);
    return all.every(({ status }) => status.state === 'in_sync') && all;
  });
  t.equal(keys.length, 20);
  for (const key of keys) {
    const changes = answers.filter(({ body }) => body.id === key.id).map(({ body }) => body);
    const last = changes.sort((a, b) => a.status.generation - b.status.generation).at(-1);
    t.equal(key.status.generation, 11, 'one generation for each change');
    t.match(key, { description: last?.description, is_enabled: last?.is_enabled, status: { synced_generation: 11 } });
    const held = await metadata(kms, key.key_id ?? '');
    t.match(held, { Description: last?.description, KeyState: last?.is_enabled ? 'Enabled' : 'Disabled' });
    t.same(await tags(kms, key.key_id ?? ''), { change: last?.tags['change'], 'keyward:id': key.id });
  }
});

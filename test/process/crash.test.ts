import { type Test, test } from 'tap';
import type { Key } from '../../src/schemas/key.ts';
import { allKeyIds, metadata, tags } from '../support/kms-truth.ts';
import { type Service, soonTakenOver, startBackends, startProcess, temporaryFolder } from '../support/process.ts';
import { eventually, kmsClient, kmsControl } from '../support/service.ts';

async function allKeys({ call }: Pick<Service, 'call'>): Promise<Key[]> {
  const { body } = await call<{ items: Key[] }>('GET', '/v1/keys?limit=200');
  return body.items;
}

/** How often the service is ended, and how: each service is the one that finds what the last one left. */
const ends = ['SIGTERM', 'SIGKILL'] as const;
const creates = 50;

test(`${ends.join(', ')} in the middle of ${creates} creates: every accepted key is there after a restart, in sync, once`, async (t) => {
  const DATA_DIR = await temporaryFolder(t);
  const environment = { DATA_DIR, ...soonTakenOver };
  const accepted: Accepted[] = [];
  let service = await startProcess(t, environment);
  for (const signal of ends) {
    const before = accepted.length;
    await createUntil(service, accepted, () => accepted.length === before + 10 && service.child.kill(signal));
    await service.ended;
    t.ok(accepted.length >= before + 10);
    service = await startProcess(t, environment);
    await hasThemAll(t, service, accepted);
  }
  service.child.kill('SIGTERM');
  t.equal((await service.ended).code, 0);
});

type Accepted = { id: string; name: string };

async function createUntil({ call, kmsUrl }: Service, accepted: Accepted[], onAccepted: () => unknown): Promise<void> {
  // So slow that the signal finds calls to KMS under way.
  await kmsControl(kmsUrl ?? '').settings({ latency_milliseconds: 30 });
  await Promise.all(
    Array.from({ length: creates }, async (_, index) => {
      const name = `key ${accepted.length}-${index}`;
      const body = { description: name, tags: { name }, enable_key_rotation: true, is_enabled: false };
      const answer = await call('POST', '/v1/keys', body).catch(() => undefined);
      if (answer?.status === 201 || answer?.status === 202) accepted.push({ id: answer.body.id, name });
      onAccepted();
    }),
  );
}

async function hasThemAll(t: Test, service: Service, accepted: Accepted[]): Promise<void> {
  const keys = await eventually('all keys are in sync', async () => {
    const all = await allKeys(service);
    return all.every(({ status }) => status.state === 'in_sync') && all;
  });
  for (const { id, name } of accepted) {
    t.match(
      keys.find((key) => key.id === id),
      { description: name },
      name,
    );
  }
  const kms = kmsClient(service.kmsUrl ?? '');
  t.teardown(() => kms.destroy());
  const inKms = await allKeyIds(kms);
  t.same(new Set(inKms), new Set(keys.map(({ key_id }) => key_id)), 'each record has its key, and no key is left over');
  const owners = await Promise.all(inKms.map(async (keyId) => (await tags(kms, keyId))['keyward:id']));
  t.same(new Set(owners), new Set(keys.map(({ id }) => id)));
  for (const key of keys) t.equal((await metadata(kms, key.key_id ?? '')).KeyState, 'Disabled');
}

test('two services on one database and one KMS: 200 PATCHes of 20 keys end in sync with the last generation', async (t) => {
  const { databaseUrl, kmsUrl } = await startBackends(t);
  const environment = { DATABASE_URL: databaseUrl, KMS_ENDPOINT: kmsUrl };
  const [first, second] = await Promise.all([startProcess(t, environment), startProcess(t, environment)]);
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

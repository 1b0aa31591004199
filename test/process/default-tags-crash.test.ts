import { test } from 'tap';
import type { Key } from '../../src/schemas/key.ts';
import type { Provider } from '../../src/schemas/provider.ts';
import { tags } from '../support/kms-truth.ts';
import { soonTakenOver, startBackends, startProcess } from '../support/process.ts';
import { eventually, kmsClient, kmsControl, startService } from '../support/service.ts';

const count = 30;

test('kill -9 in the middle of a change of default_tags, and another change after it: every key gets the last one', async (t) => {
  const { databaseUrl: DATABASE_URL, kmsUrl: KMS_ENDPOINT } = await startBackends(t);
  const environment = { DATABASE_URL, KMS_ENDPOINT, ...soonTakenOver };
  const first = await startProcess(t, environment);
  const progress = async (call: typeof first.call) =>
    (await call<Provider>('GET', '/v1/providers/default')).body.progress;
  await Promise.all(Array.from({ length: count }, () => first.call('POST', '/v1/keys', { tags: { own: '1' } })));
  await eventually('all keys are made', async () => (await progress(first.call)).keys_in_sync === count);
  await kmsControl(KMS_ENDPOINT).settings({ latency_milliseconds: 100 });

  const change = { default_tags: { env: 'first', gone: '1' } };
  t.equal((await first.call('PATCH', '/v1/providers/default', change)).status, 200);
  await eventually('the change is halfway', async () => (await progress(first.call)).keys_pending <= count - 10);
  first.child.kill('SIGKILL');
  await first.ended;

  const second = await startService(t, environment);
  const left = await progress(second.call);
  t.ok(left.keys_pending > 0, `${left.keys_pending} keys were left`);
  t.ok(left.started_at !== null && left.expected_until !== null);
  const further = { default_tags: { env: 'last', gone: null } };
  t.equal((await second.call('PATCH', '/v1/providers/default', further)).status, 200);
  await eventually('the change has reached all keys', async () => {
    const now = await progress(second.call);
    return now.keys_pending === 0 && now.keys_in_sync === count;
  });
  const kms = kmsClient(KMS_ENDPOINT);
  t.teardown(() => kms.destroy());
  const { body } = await second.call<{ items: Key[] }>('GET', '/v1/keys?limit=200');
  t.equal(body.items.length, count);
  for (const key of body.items) {
    t.strictSame(key.tags_all, { env: 'last', own: '1' });
    t.strictSame(await tags(kms, key.key_id ?? ''), { env: 'last', own: '1', 'keyward:id': key.id });
  }
});

import { test } from 'tap';
import type { Key } from '../../src/schemas/key.ts';
import { metadata } from '../support/kms-truth.ts';
import { startBackends } from '../support/process.ts';
import { caller, eventually, startService } from '../support/service.ts';

const disabled = { is_enabled: false };
const rotating = { enable_key_rotation: true };
const respondAsync = { prefer: 'respond-async' };

test('after an end between EnableKey and the change of rotation a key declared disabled is disabled first', async (t) => {
  const { call, kms, control, services } = await startService(t, { SETTLE_SECONDS: '0', LEASE_SECONDS: '2' });
  const { body: key } = await call('POST', '/v1/keys', disabled);
  const { body: inUse } = await call('POST', '/v1/keys', {});
  await control.clear();
  const { failurePoints } = services;
  const { pass } = failurePoints;
  failurePoints.pass = async (point) => {
    await pass(point);
    if (point !== 'write-closed' || (await metadata(kms, key.key_id ?? '')).KeyState !== 'Enabled') return;
    failurePoints.pass = pass;
    throw new Error('The worker ends here, on purpose.');
  };
  await control.fault({ operation: 'EnableKeyRotation', kind: 'throttle', times: 1 });
  await call('PATCH', `/v1/keys/${key.id}`, { ...rotating, description: 'new' }, respondAsync);
  await eventually('it is held', async () => (await call('GET', `/v1/keys/${key.id}`)).body.status.state === 'in_sync');
  const way = ['EnableKey', 'EnableKeyRotation', 'UpdateKeyDescription', 'DisableKey'];
  t.same(
    (await control.calls()).map(({ operation }) => operation),
    ['EnableKey', 'DisableKey', 'EnableKey', 'EnableKeyRotation', 'DisableKey', ...way],
  );
  t.equal((await metadata(kms, key.key_id ?? '')).KeyState, 'Disabled');

  await control.clear();
  await call('PATCH', `/v1/keys/${inUse.id}`, { ...disabled, ...rotating });
  t.same(
    (await control.calls()).map(({ operation }) => operation),
    ['EnableKeyRotation', 'DisableKey'],
    'while one that was in use is disabled last',
  );
});

test('a key that is enabled for a change of its rotation does not wait in that state for request quotas', async (t) => {
  const { databaseUrl: DATABASE_URL, kmsUrl: KMS_ENDPOINT } = await startBackends(t);
  const environment = { DATABASE_URL, KMS_ENDPOINT, QUOTA_SHARE: '0.8', SETTLE_SECONDS: '0' };
  const { call, control } = await startService(t, environment);
  const make = (body: object) => Promise.all(Array.from({ length: 8 }, () => call('POST', '/v1/keys', body)));
  const toRotate = (await make(disabled)).map(({ body }) => body);
  const toDisable = (await make({})).map(({ body }) => body);
  await caller(KMS_ENDPOINT)('PUT', '/_local/settings', { quotas: true });
  const patch = (keys: Key[], body: object) =>
    Promise.all(keys.map(({ id }) => call('PATCH', `/v1/keys/${id}`, body, respondAsync)));
  // These use up what DisableKey has for some seconds.
  await patch(toDisable, disabled);
  await patch(toRotate, rotating);
  await eventually('all is held', async () => {
    const { body } = await call<{ items: Key[] }>('GET', '/v1/keys?state=in_sync&is_enabled=false&limit=200');
    return body.items.length === toDisable.length + toRotate.length;
  });
  const calls = await control.calls();
  const longest = Math.max(
    ...toRotate.map(({ key_id }) => {
      const at = (name: string) => calls.find((one) => one.key_id === key_id && one.operation === name)?.at ?? '';
      const end = calls.findLast((one) => one.key_id === key_id && one.operation === 'DisableKey')?.at ?? '';
      return Date.parse(end) - Date.parse(at('EnableKey'));
    }),
  );
  // In the queue of DisableKey, the last of sixteen at four a second would be usable for three seconds.
  t.ok(longest < 2000, `usable for ${longest} ms`);
});

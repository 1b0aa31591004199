import { test } from 'tap';
import { allKeyIds, metadata, ownPolicy, policy } from '../support/kms-truth.ts';
import { eventually, type Problem, startService } from '../support/service.ts';

const denied = { kind: 'error', type: 'AccessDeniedException', message: 'Not you.' };
const promptly = { prefer: 'respond-async' };

test('rights that are not known yet', async (t) => {
  const { call, control, kms } = await startService(t, { PROPAGATION_SECONDS: '60', SETTLE_SECONDS: '0' });
  const get = async (id: string) => (await call('GET', `/v1/keys/${id}`)).body;
  const waiting = (id: string) =>
    eventually('it tells what it waits for', async () => {
      const { status } = await get(id);
      return status.error !== null && status;
    });
  const inSync = (id: string) =>
    eventually('it is in sync', async () => {
      const key = await get(id);
      return key.status.state === 'in_sync' && key.status.error === null && key;
    });

  t.test('a denied write takes no accepted change back: it is tried again, and says until when', async (t) => {
    const { body: key } = await call('POST', '/v1/keys', { policy: ownPolicy('Before') });
    await control.fault({ operation: 'PutKeyPolicy', ...denied, times: null });
    await call('PATCH', `/v1/keys/${key.id}`, { policy: ownPolicy('After') }, promptly);
    t.match(await waiting(key.id), {
      state: 'updating',
      generation: 2,
      error: { code: 'AccessDeniedException', message: /Not you\. Keyward tries again until \d{4}-/, retryable: true },
    });
    await control.clearFaults();
    t.match(await inSync(key.id), { policy: ownPolicy('After'), status: { generation: 2, synced_generation: 2 } });
    t.same(await policy(kms, key.key_id ?? ''), ownPolicy('After'));
  });

  t.test('a write that is denied after CreateKey has no key deleted', async (t) => {
    await control.fault({ operation: 'EnableKeyRotation', ...denied, times: 2 });
    const { body } = await call('POST', '/v1/keys', { enable_key_rotation: true }, promptly);
    const { key_id } = await inSync(body.id);
    t.equal((await metadata(kms, key_id ?? '')).KeyState, 'Enabled');
  });

  t.test('a denied CreateKey leaves the record, and makes one key once it may', async (t) => {
    const before = await allKeyIds(kms);
    await control.fault({ operation: 'CreateKey', ...denied, times: 2 });
    const { body } = await call('POST', '/v1/keys', {}, promptly);
    const { key_id } = await inSync(body.id);
    t.same(
      (await allKeyIds(kms)).filter((keyId) => !before.includes(keyId)),
      [key_id],
    );
  });

  t.test('a denied read takes nothing back, and a refresh is answered with it', async (t) => {
    for (const operation of ['DescribeKey', 'GetKeyPolicy', 'ListResourceTags', 'GetKeyRotationStatus']) {
      const { body: key } = await call('POST', '/v1/keys', {});
      await control.fault({ operation, ...denied, times: null });
      await call('PATCH', `/v1/keys/${key.id}`, { description: operation }, promptly);
      t.match(await waiting(key.id), { state: 'updating', generation: 2, error: { retryable: true } }, operation);
      await control.clearFaults();
      t.match(await inSync(key.id), { description: operation, status: { synced_generation: 2 } });
      await control.fault({ operation, ...denied, times: null });
      const refreshed = await call('POST', `/v1/keys/${key.id}/refresh`);
      t.equal(refreshed.status, 200);
      t.match(refreshed.body.status, { state: 'in_sync', drift: [], error: { code: 'AccessDeniedException' } });
      await control.clearFaults();
    }
  });

  t.test('a rotation that is denied waits likewise', async (t) => {
    const { body: key } = await call('POST', '/v1/keys', {});
    await control.fault({ operation: 'RotateKeyOnDemand', ...denied, times: 2 });
    t.equal((await call('POST', `/v1/keys/${key.id}/rotate`)).status, 200);
  });
});

test('a right that never comes: the change is taken back when the time is over', async (t) => {
  const { call, control, kms } = await startService(t, { PROPAGATION_SECONDS: '2', SETTLE_SECONDS: '0' });
  const { body: key } = await call('POST', '/v1/keys', { description: 'before' });
  await control.fault({ operation: 'UpdateKeyDescription', ...denied, times: null });
  const change = { description: 'after' };
  const { status, body } = await call<Problem>('PATCH', `/v1/keys/${key.id}`, change, { prefer: 'wait=30' });
  const { body: events } = await call<{ items: { generation: number; data: object }[] }>(
    'GET',
    `/v1/keys/${key.id}/events?type=kms.write&limit=100`,
  );
  const tried = events.items.filter(({ generation }) => generation === 2);
  t.ok(tried.length >= 2, 'it is not taken back at once');
  t.match(tried[0]?.data, { operation: 'UpdateKeyDescription', error: { code: 'AccessDeniedException' } });
  t.equal(status, 422);
  t.match(body.kms_error, { code: 'AccessDeniedException', message: 'Not you.', operation: 'UpdateKeyDescription' });
  t.equal((await metadata(kms, key.key_id ?? '')).Description, 'before');
});

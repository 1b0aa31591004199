import { test } from 'tap';
import { allKeyIds, metadata } from '../support/kms-truth.ts';
import { eventually, type Problem, startService, withMovedClock } from '../support/service.ts';

test('what KMS made and did not make as it was asked', async (t) => {
  const { call, kms, control } = await startService(t, withMovedClock);
  const overlooking = (parameters: object) => control.settings({ ignored_parameters: parameters });

  t.test('a key that is not as its immutable arguments ask is failed, says so, and is not deleted', async (t) => {
    await overlooking({ CreateKey: ['MultiRegion'] });
    await control.clear();
    const { status, body } = await call<Problem>('POST', '/v1/keys', { multi_region: true, is_enabled: false });
    t.equal(status, 422);
    t.match(body.kms_error, { code: 'ImmutableFieldDiffers', message: /multi_region is false, not true/ });
    const { body: key } = await call('GET', `/v1/keys/${body.id}`);
    t.match(key.status, { state: 'failed', error: { code: 'ImmutableFieldDiffers' } });
    t.same(
      (await control.calls()).map(({ operation }) => operation),
      ['CreateKey', 'DisableKey'],
      'and what was declared disabled is',
    );
  });

  t.test('a replacement by a key that is not as asked deletes neither key', async (t) => {
    await overlooking({});
    const { body: key } = await call('POST', '/v1/keys', { description: 'old' });
    await overlooking({ CreateKey: ['MultiRegion'] });
    const before = await allKeyIds(kms);
    const { status, body } = await call<Problem>('POST', `/v1/keys/${key.id}/replace`, { multi_region: true });
    t.equal(status, 422);
    t.equal(body.kms_error?.code, 'ImmutableFieldDiffers');
    const settled = await eventually('back', async () => {
      const { body: now } = await call('GET', `/v1/keys/${key.id}`);
      return now.status.state === 'in_sync' && now;
    });
    t.match(settled, { key_id: key.key_id, multi_region: false, description: 'old' });
    await call('POST', `/v1/keys/${key.id}/sync`);
    const after = await allKeyIds(kms);
    t.equal(after.length, before.length + 1);
    for (const id of [key.key_id ?? '', ...after.filter((id) => !before.includes(id))]) {
      t.equal((await metadata(kms, id)).KeyState, 'Enabled', id);
    }
    await overlooking({});
  });

  t.test('an immutable field that KMS shows otherwise is drift with an error that names it', async (t) => {
    const { body: key } = await call('POST', '/v1/keys', {});
    const [operation, kind] = ['DescribeKey', 'changed_field'];
    await control.fault({ operation, kind, member: 'KeyMetadata.KeySpec', value: 'RSA_2048', times: null });
    const { body } = await call('POST', `/v1/keys/${key.id}/sync`);
    t.match(body.status, {
      state: 'drifted',
      drift: [{ field: 'customer_master_key_spec', desired: 'SYMMETRIC_DEFAULT', observed: 'RSA_2048' }],
      error: { code: 'ImmutableFieldDiffers', retryable: false },
    });
    await control.clearFaults();
  });

  t.test('what the answer to a deletion says of the state counts', async (t) => {
    const { body: key } = await call('POST', '/v1/keys', {});
    const value = 'PendingReplicaDeletion';
    await control.fault({ operation: 'ScheduleKeyDeletion', kind: 'changed_field', member: 'KeyState', value });
    const { body } = await call('DELETE', `/v1/keys/${key.id}`);
    t.equal(body.status.key_state, value);
  });

  t.test('a key declared disabled does not stay usable while a change of its rotation waits', async (t) => {
    const { body: key } = await call('POST', '/v1/keys', { is_enabled: false });
    await control.fault({ operation: 'EnableKeyRotation', kind: 'throttle', times: 1 });
    await control.clear();
    await call('PATCH', `/v1/keys/${key.id}`, { enable_key_rotation: true });
    const settled = await eventually('held', async () => {
      const { body } = await call('GET', `/v1/keys/${key.id}`);
      return body.status.state === 'in_sync' && body;
    });
    t.match(settled, { enable_key_rotation: true, is_enabled: false, status: { key_state: 'Disabled' } });
    t.same(
      (await control.calls()).map(({ operation }) => operation),
      ['EnableKey', 'EnableKeyRotation', 'DisableKey', 'EnableKey', 'EnableKeyRotation', 'DisableKey'],
    );
  });
});

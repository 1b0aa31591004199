import { CancelKeyDeletionCommand, EnableKeyCommand, EnableKeyRotationCommand } from '@aws-sdk/client-kms';
import { test } from 'tap';
import { metadata, rotation, tags } from '../support/kms-truth.ts';
import { eventually, letDaysPass, type Problem, startService, withMovedClock } from '../support/service.ts';

const day = 86_400_000;

test('the end of a key, and taking it back', async (t) => {
  const service = await startService(t, withMovedClock);
  const { call, kms, control } = service;
  const create = async (body: object = {}) => {
    const { body: key } = await call('POST', '/v1/keys', body);
    return { ...key, key_id: key.key_id ?? '' };
  };
  const daysLeft = (date: string | null) => Math.round((Date.parse(date ?? '') - Date.now()) / day);

  t.test('DELETE with windows 7 and 30, and none', async (t) => {
    for (const [body, query, days] of [
      [{}, '', 30],
      [{ deletion_window_in_days: 9 }, '', 9],
      [{}, '?deletion_window_in_days=7', 7],
      [{ deletion_window_in_days: 9 }, '?deletion_window_in_days=30', 30],
    ] as const) {
      const { id, key_id } = await create(body);
      const { status, body: key } = await call('DELETE', `/v1/keys/${id}${query}`);
      t.equal(status, 202);
      t.match(key.status, { state: 'pending_deletion', key_state: 'PendingDeletion', synced_generation: 2 });
      t.equal(daysLeft(key.status.deletion_date), days);
      const { DeletionDate, KeyState } = await metadata(kms, key_id);
      t.equal(KeyState, 'PendingDeletion');
      t.equal(daysLeft(DeletionDate?.toISOString() ?? null), days);
    }
  });

  t.test('a window out of its limits changes nothing', async (t) => {
    const { id } = await create();
    for (const days of ['6', '31', 'x', '7.5']) {
      t.equal((await call('DELETE', `/v1/keys/${id}?deletion_window_in_days=${days}`)).status, 400);
    }
    t.equal((await call('GET', `/v1/keys/${id}`)).body.status.state, 'in_sync');
  });

  t.test('asking again changes nothing', async (t) => {
    const { id } = await create();
    const { body: first } = await call('DELETE', `/v1/keys/${id}`);
    await control.clear();
    const { status, body: again } = await call('DELETE', `/v1/keys/${id}?deletion_window_in_days=7`);
    t.equal(status, 202);
    t.same(again, first);
    t.same(await control.calls(), []);
  });

  t.test('restore brings an enabled key back enabled, with its rotation', async (t) => {
    const { id, key_id } = await create({ enable_key_rotation: true, rotation_period_in_days: 100 });
    await call('DELETE', `/v1/keys/${id}`);
    const { status, body } = await call('POST', `/v1/keys/${id}/restore`);
    t.equal(status, 200);
    t.match(body.status, { state: 'in_sync', key_state: 'Enabled', deletion_date: null, drift: [] });
    t.equal((await metadata(kms, key_id)).KeyState, 'Enabled');
    t.same(await rotation(kms, key_id), { enabled: true, period: 100 });
  });

  t.test('rotation that comes back with a cancelled deletion is as declared before the answer', async (t) => {
    for (const declared of [{}, { is_enabled: false }, { enable_key_rotation: true }]) {
      const { id, key_id, ...key } = await create(declared);
      // Nobody sees this before the deletion is scheduled, and of a key pending deletion KMS doesn't tell it.
      await kms.send(new EnableKeyCommand({ KeyId: key_id }));
      await kms.send(new EnableKeyRotationCommand({ KeyId: key_id, RotationPeriodInDays: 100 }));
      await call('DELETE', `/v1/keys/${id}`);
      const { status, body } = await call('POST', `/v1/keys/${id}/restore`);
      t.equal(status, 200);
      t.match(body.status, { state: 'in_sync', key_state: key.is_enabled ? 'Enabled' : 'Disabled', drift: [] });
      t.equal((await metadata(kms, key_id)).KeyState, body.status.key_state);
      const { enable_key_rotation: enabled, rotation_period_in_days: period } = key;
      t.same(await rotation(kms, key_id), { enabled, period });
    }
  });

  t.test('restore brings a disabled key back disabled', async (t) => {
    const { id, key_id } = await create({ is_enabled: false });
    await call('DELETE', `/v1/keys/${id}`);
    t.equal((await call('POST', `/v1/keys/${id}/restore`)).status, 200);
    t.equal((await metadata(kms, key_id)).KeyState, 'Disabled');
  });

  t.test('deletion_protection gives 409', async (t) => {
    const { id } = await create({ deletion_protection: true });
    const { status, body } = await call<Problem>('DELETE', `/v1/keys/${id}`);
    t.equal(status, 409);
    t.match(body.detail, /deletion_protection/);
    await call('PATCH', `/v1/keys/${id}`, { deletion_protection: false });
    t.equal((await call('DELETE', `/v1/keys/${id}`)).status, 202);
  });

  t.test('a key pending deletion takes only reads, refresh, restore, release and DELETE', async (t) => {
    const { id } = await create();
    await call('DELETE', `/v1/keys/${id}`);
    t.equal((await call<Problem>('PATCH', `/v1/keys/${id}`, { description: 'x' })).status, 409);
    t.equal((await call<Problem>('POST', `/v1/keys/${id}/sync`)).status, 409);
    t.equal((await call('POST', `/v1/keys/${id}/refresh`)).status, 200);
    t.equal((await call('GET', `/v1/keys/${id}`)).status, 200);
    t.equal((await call('POST', `/v1/keys/${id}/release`)).status, 204);
  });

  t.test('restore of a key that is not pending deletion is 409', async (t) => {
    const { id } = await create();
    t.equal((await call<Problem>('POST', `/v1/keys/${id}/restore`)).status, 409);
  });

  t.test('a DELETE that is overtaken by a release does not say that the key is gone', async (t) => {
    const { id, key_id } = await create();
    await control.fault({ operation: 'ScheduleKeyDeletion', kind: 'throttle', times: null });
    const deletion = call<Problem>('DELETE', `/v1/keys/${id}`);
    await eventually('the deletion is asked for', async () => {
      return (await call('GET', `/v1/keys/${id}`)).body.status.state === 'pending_deletion';
    });
    t.equal((await call('POST', `/v1/keys/${id}/release`)).status, 204);
    t.match(await deletion, { status: 409, body: { detail: /released meanwhile/ } });
    await control.clearFaults();
    t.equal((await metadata(kms, key_id)).KeyState, 'Enabled');
  });

  t.test('release leaves the key in KMS as it is, without the ownership tag', async (t) => {
    const { id, key_id } = await create({ description: 'stays', tags: { a: '1' } });
    await control.clear();
    t.equal((await call('POST', `/v1/keys/${id}/release`)).status, 204);
    t.equal((await call('GET', `/v1/keys/${id}`)).status, 404);
    t.same(await tags(kms, key_id), { a: '1' });
    t.match(await metadata(kms, key_id), { Description: 'stays', KeyState: 'Enabled' });
    t.same(
      (await control.calls()).map(({ operation }) => operation),
      ['UntagResource'],
    );
  });

  t.test('a key that KMS never had is removed', async (t) => {
    await control.fault({ operation: 'CreateKey', kind: 'throttle', times: null });
    const { status, body: key } = await call('POST', '/v1/keys', {}, { prefer: 'wait=1' });
    t.equal(status, 202);
    t.match(key.status, { state: 'creating', error: { code: 'ThrottlingException', retryable: true } });
    t.equal((await call('DELETE', `/v1/keys/${key.id}`)).status, 204);
    t.equal((await call('GET', `/v1/keys/${key.id}`)).status, 404);
    await control.clearFaults();
  });

  t.test('what somebody else cancelled is seen by a refresh', async (t) => {
    const { id, key_id } = await create();
    await call('DELETE', `/v1/keys/${id}`);
    await kms.send(new CancelKeyDeletionCommand({ KeyId: key_id }));
    const { body } = await call('POST', `/v1/keys/${id}/refresh`);
    t.match(body.status, {
      state: 'pending_deletion',
      key_state: 'Disabled',
      drift: [{ field: 'key_state', desired: 'PendingDeletion', observed: 'Disabled' }],
    });
  });

  t.test('restore that comes too late leaves the key deleted', async (t) => {
    const { id } = await create();
    await call('DELETE', `/v1/keys/${id}?deletion_window_in_days=7`);
    await letDaysPass(service, 8);
    t.equal((await call('POST', `/v1/keys/${id}/restore`)).status, 422);
    t.match((await call('GET', `/v1/keys/${id}`)).body.status, { state: 'deleted', key_state: null });
    t.equal((await call('POST', `/v1/keys/${id}/restore`)).status, 409);
  });

  t.test('when its time has come the key is deleted, and can still be read', async (t) => {
    const { id } = await create({ description: 'gone' });
    await call('DELETE', `/v1/keys/${id}?deletion_window_in_days=7`);
    await letDaysPass(service, 7);
    await call('POST', `/v1/keys/${id}/refresh`);
    const body = await eventually('it is deleted', async () => {
      const found = (await call('GET', `/v1/keys/${id}`)).body;
      return found.status.state === 'deleted' && found;
    });
    t.match(body, { description: 'gone', status: { state: 'deleted', key_state: null } });
    t.equal((await call('POST', `/v1/keys/${id}/restore`)).status, 409);
    t.equal((await call('PATCH', `/v1/keys/${id}`, {})).status, 409);
    await eventually('it is in no list but that of deleted keys', async () => {
      const all = await call<{ items: { id: string }[] }>('GET', '/v1/keys?limit=200');
      const deleted = await call<{ items: { id: string }[] }>('GET', '/v1/keys?state=deleted');
      return !all.body.items.some((key) => key.id === id) && deleted.body.items.some((key) => key.id === id);
    });
  });
});

import { DisableKeyCommand, UpdateKeyDescriptionCommand } from '@aws-sdk/client-kms';
import { test } from 'tap';
import { metadata } from '../support/kms-truth.ts';
import { createKey } from '../support/local-kms.ts';
import { eventually, type Problem, startService, withMovedClock } from '../support/service.ts';

const states = ['Creating', 'Updating', 'Unavailable', 'PendingImport'];

test('what KMS does not say is neither adopted nor enforced', async (t) => {
  const { call, kms, control } = await startService(t, withMovedClock);
  const shown = (key_id: string | null, state: string | null) =>
    control.settings({ key_states: state === null ? [] : [{ key_id, state }] });
  const look = (id: string, way: 'refresh' | 'sync') => call('POST', `/v1/keys/${id}/${way}`);

  t.test(
    'an import in a state that does not tell is 422, and one of a key that can be told of is as KMS has it',
    async (t) => {
      const outside = await createKey(kms);
      for (const state of states) {
        await shown(outside.KeyId, state);
        const { status, body } = await call<Problem>('POST', '/v1/keys/import', { key_id: outside.KeyId });
        t.equal(status, 422, state);
        t.match(body.errors?.[0], { pointer: '/key_id', detail: new RegExp(`${state}.*Enabled or Disabled`) });
      }
      await shown(outside.KeyId, null);
      const { status, body } = await call('POST', '/v1/keys/import', { key_id: outside.KeyId });
      t.equal(status, 201);
      t.equal(body.is_enabled, true);
    },
  );

  t.test('an adopt while the key is in such a state leaves is_enabled as it is declared', async (t) => {
    const { body: key } = await call('POST', '/v1/keys', { drift_policy: 'adopt' });
    await kms.send(new UpdateKeyDescriptionCommand({ KeyId: key.key_id ?? '', Description: 'theirs' }));
    await shown(key.key_id, 'Updating');
    await look(key.id, 'refresh');
    const adopted = await eventually('adopted', async () => {
      const { body } = await call('GET', `/v1/keys/${key.id}`);
      return body.description === 'theirs' && body;
    });
    t.match(adopted, { is_enabled: true, status: { key_state: 'Updating', drift: [] } });
    await shown(key.key_id, null);
    await control.clear();
    await look(key.id, 'sync');
    t.same(await control.calls(), []);
    t.equal((await metadata(kms, key.key_id ?? '')).KeyState, 'Enabled');
  });

  t.test('nothing is written for the state of a key that does not tell, whatever is declared', async (t) => {
    const { body: key } = await call('POST', '/v1/keys', {});
    await kms.send(new DisableKeyCommand({ KeyId: key.key_id ?? '' }));
    await control.clear();
    for (const state of states) {
      await shown(key.key_id, state);
      const { body } = await look(key.id, 'sync');
      const isOut = state === 'Unavailable' || state === 'PendingImport';
      t.equal(body.status.key_state, state);
      t.same(
        body.status.drift.map(({ field, observed }) => [field, observed]),
        isOut ? [['key_state', state]] : [],
      );
    }
    t.same(await control.calls(), []);
    await shown(key.key_id, null);
    t.match((await look(key.id, 'refresh')).body.status.drift, [
      { field: 'is_enabled', desired: true, observed: false },
    ]);
  });

  t.test(
    'a change of is_enabled in such a state is sent, and said to be held only when KMS has taken it',
    async (t) => {
      const { body: key } = await call('POST', '/v1/keys', {});
      await shown(key.key_id, 'Unavailable');
      t.equal((await call('PATCH', `/v1/keys/${key.id}`, { is_enabled: false })).status, 200);
      await shown(key.key_id, null);
      t.equal((await metadata(kms, key.key_id ?? '')).KeyState, 'Disabled');
      await shown(key.key_id, 'PendingImport');
      const { status, body } = await call<Problem>('PATCH', `/v1/keys/${key.id}`, { is_enabled: true });
      t.equal(status, 422);
      t.match(body.kms_error, { code: 'KMSInvalidStateException', operation: 'EnableKey' });
      await shown(key.key_id, null);
    },
  );

  for (const [operation, member, change, write] of [
    ['DescribeKey', 'KeyMetadata.Description', { description: 'other' }, 'UpdateKeyDescription'],
    ['GetKeyPolicy', 'Policy', null, 'PutKeyPolicy'],
    ['GetKeyRotationStatus', 'KeyRotationEnabled', { enable_key_rotation: false }, 'DisableKeyRotation'],
    ['GetKeyRotationStatus', 'RotationPeriodInDays', { rotation_period_in_days: 200 }, 'EnableKeyRotation'],
    ['DescribeKey', 'KeyMetadata.Origin', null, ''],
    ['DescribeKey', 'KeyMetadata.KeyUsage', null, ''],
    ['DescribeKey', 'KeyMetadata.KeyManager', null, ''],
    ['DescribeKey', 'KeyMetadata.CreationDate', null, ''],
  ] as const) {
    t.test(`an answer without ${member}: no drift, no write; a change of it is written once`, async (t) => {
      const body = { description: 'mine', enable_key_rotation: true, rotation_period_in_days: 180, multi_region: true };
      const { body: key } = await call('POST', '/v1/keys', body);
      await control.fault({ operation, member, kind: 'dropped_field', times: null });
      await control.clear();
      for (const way of ['refresh', 'sync', 'sync'] as const) {
        t.match((await look(key.id, way)).body.status, { state: 'in_sync', drift: [], error: null }, way);
      }
      t.same(await control.calls(), []);
      if (change !== null) {
        t.equal((await call('PATCH', `/v1/keys/${key.id}`, change)).status, 200);
        for (const way of ['refresh', 'sync'] as const) t.same((await look(key.id, way)).body.status.drift, []);
        t.same(
          (await control.calls()).map((logged) => logged.operation),
          [write],
        );
      }
      await control.clearFaults();
      t.match((await look(key.id, 'refresh')).body.status, { state: 'in_sync', drift: [] });
    });
  }
});

test('a key whose period KMS does not tell is imported without one, and none is enforced', async (t) => {
  const { call, kms, control } = await startService(t, withMovedClock);
  const { body: first } = await call('POST', '/v1/keys', { enable_key_rotation: true, rotation_period_in_days: 180 });
  await call('POST', `/v1/keys/${first.id}/release`);
  await control.fault({
    operation: 'GetKeyRotationStatus',
    kind: 'dropped_field',
    member: 'RotationPeriodInDays',
    times: null,
  });
  await control.clear();
  const { body: key } = await call('POST', '/v1/keys/import', { key_id: first.key_id });
  t.match(key, { enable_key_rotation: true, rotation_period_in_days: null });
  const { status, body } = await call('PATCH', `/v1/keys/${key.id}`, { description: 'imported' });
  t.equal(status, 200);
  t.match(body, { enable_key_rotation: true, rotation_period_in_days: null, status: { state: 'in_sync' } });
  t.same(
    (await control.calls()).map(({ operation }) => operation),
    ['TagResource', 'UpdateKeyDescription'],
  );
  t.equal((await metadata(kms, key.key_id ?? '')).KeyState, 'Enabled');
});

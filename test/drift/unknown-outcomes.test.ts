import { DisableKeyCommand, EnableKeyCommand, UpdateKeyDescriptionCommand } from '@aws-sdk/client-kms';
import { test } from 'tap';
import { findRow } from '../../src/services/rows/read.ts';
import { metadata, tags } from '../support/kms-truth.ts';
import { eventually, startService } from '../support/service.ts';

test('of a write without an answer, that write alone is repeated, whatever else differs', async (t) => {
  const environment = { WRITE_DEADLINE_SECONDS: '6', SETTLE_SECONDS: '0' };
  const { call, kms, control, services } = await startService(t, environment);
  const keys = await Promise.all(
    ['report', 'adopt'].map(async (drift_policy) => {
      const { body: key } = await call('POST', '/v1/keys', { drift_policy, description: 'in use' });
      return { ...key, key_id: key.key_id ?? '' };
    }),
  );
  for (const { key_id: KeyId } of keys) {
    await kms.send(new DisableKeyCommand({ KeyId }));
    await kms.send(new UpdateKeyDescriptionCommand({ KeyId, Description: 'INCIDENT, do not enable' }));
  }
  await control.clear();
  await control.fault({ operation: 'TagResource', kind: 'reset_before_effect', times: 2 });
  await call('PATCH', '/v1/providers/default', { default_tags: { env: 'prod' } });
  for (const key of keys) {
    await eventually(
      `${key.drift_policy}: the tag is there`,
      async () => (await tags(kms, key.key_id))['env'] === 'prod',
    );
    await eventually('the lost write can land no more', async () => {
      const row = await findRow(services.database, key.id);
      return row?.writes_open === false && row.default_tags_due === null;
    });
    t.match(await metadata(kms, key.key_id), { KeyState: 'Disabled', Description: 'INCIDENT, do not enable' });
  }
  const operations = new Set((await control.calls()).map(({ operation }) => operation));
  t.same(operations, new Set(['TagResource']));
  t.match((await call('GET', `/v1/keys/${keys[0]?.id}`)).body.status, {
    state: 'drifted',
    generation: 1,
    drift: [{ field: 'description' }, { field: 'is_enabled' }],
  });
});

test('asked for outright, a sync repeats a write that was undone before it had settled', async (t) => {
  const { call, kms } = await startService(t, { SETTLE_SECONDS: '600' });
  const { body: key } = await call('POST', '/v1/keys', { description: 'a', drift_policy: 'report' });
  const KeyId = key.key_id ?? '';
  await call('PATCH', `/v1/keys/${key.id}`, { is_enabled: false, description: 'b', enable_key_rotation: true });
  await kms.send(new EnableKeyCommand({ KeyId }));
  await kms.send(new UpdateKeyDescriptionCommand({ KeyId, Description: 'a' }));
  const { status, body } = await call('POST', `/v1/keys/${key.id}/sync`);
  t.equal(status, 200);
  t.match(body.status, { state: 'in_sync', key_state: 'Disabled' });
  t.match(await metadata(kms, KeyId), { KeyState: 'Disabled', Description: 'b' });
});

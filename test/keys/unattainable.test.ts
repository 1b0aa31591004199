import { CreateKeyCommand, ReplicateKeyCommand, UpdatePrimaryRegionCommand } from '@aws-sdk/client-kms';
import { test } from 'tap';
import type { Plan } from '../../src/schemas/plan.ts';
import { kmsClient, type Problem, startService, withMovedClock } from '../support/service.ts';

test('what no call can make of a key is refused, and is drift where the key has become such', async (t) => {
  const { call, kms, kmsUrl, control } = await startService(t, withMovedClock);
  const plan = (id: string, body: object) => call<Plan>('POST', `/v1/keys/${id}/plan`, body);
  const rotating = { enable_key_rotation: true };

  t.test(
    'rotation of a key with imported material: plan and PATCH say the same, and nothing is recorded',
    async (t) => {
      const { KeyMetadata } = await kms.send(new CreateKeyCommand({ Origin: 'EXTERNAL' }));
      const shown = (State: string | null) =>
        control.fault({
          operation: 'DescribeKey',
          kind: 'changed_field',
          member: 'KeyMetadata.KeyState',
          value: State,
          times: null,
        });
      await shown('Enabled');
      const { body: key, status } = await call('POST', '/v1/keys/import', { key_id: KeyMetadata?.KeyId });
      t.equal(status, 201);
      await control.clear();
      const { body: planned } = await plan(key.id, rotating);
      t.match(planned.refusals, [{ code: 'UnsupportedOperationException', field: 'enable_key_rotation' }]);
      const { status: code, body } = await call<Problem>('PATCH', `/v1/keys/${key.id}`, rotating);
      t.equal(code, 422);
      t.match(body.errors?.[0], { pointer: '/enable_key_rotation', detail: planned.refusals[0]?.detail });
      t.match((await call('GET', `/v1/keys/${key.id}`)).body, {
        enable_key_rotation: false,
        rotation_period_in_days: null,
        status: { state: 'in_sync', generation: 1 },
      });
      t.same(await control.calls(), []);
      await control.clearFaults();
    },
  );

  t.test(
    'a primary that became a replica outside: its rotation is that of the new primary, and a change of it is refused',
    async (t) => {
      const { body: key } = await call('POST', '/v1/keys', { ...rotating, multi_region: true });
      const elsewhere = kmsClient(kmsUrl, '111122223333', 'eu-west-1');
      t.teardown(() => elsewhere.destroy());
      await kms.send(new ReplicateKeyCommand({ KeyId: key.key_id ?? '', ReplicaRegion: 'eu-west-1' }));
      await kms.send(new UpdatePrimaryRegionCommand({ KeyId: key.key_id ?? '', PrimaryRegion: 'eu-west-1' }));
      const { body: fresh } = await call('POST', `/v1/keys/${key.id}/sync`);
      t.match(fresh.status, {
        state: 'in_sync',
        primary_arn: key.arn?.replace('us-east-1', 'eu-west-1'),
        error: null,
      });
      const { status, body } = await call('PATCH', `/v1/keys/${key.id}`, { description: 'other' });
      t.equal(status, 200);
      t.match(body.status, { state: 'in_sync', drift: [], error: null });
      const refused = await call<Problem>('PATCH', `/v1/keys/${key.id}`, { enable_key_rotation: false });
      t.match(refused.body.errors?.[0], {
        pointer: '/enable_key_rotation',
        detail: /primary key, arn:aws:kms:eu-west-1/,
      });
    },
  );

  t.test('what KMS shows by the time of the sync is refused, and taken back, without a call', async (t) => {
    const { body: key } = await call('POST', '/v1/keys', { is_enabled: false });
    await control.fault({
      operation: 'DescribeKey',
      kind: 'changed_field',
      member: 'KeyMetadata.Origin',
      value: 'EXTERNAL',
      times: 1,
    });
    await control.clear();
    const { status, body } = await call<Problem>('PATCH', `/v1/keys/${key.id}`, { ...rotating, description: 'other' });
    t.equal(status, 422);
    t.equal(body.kms_error?.code, 'UnsupportedOperationException');
    t.same(await control.calls(), []);
    t.match((await call('GET', `/v1/keys/${key.id}`)).body, { enable_key_rotation: false, description: '' });
  });
});

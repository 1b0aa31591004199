import assert from 'node:assert/strict';
import { DescribeKeyCommand, ReplicateKeyCommand } from '@aws-sdk/client-kms';
import { metadata, rotation, tags } from '../support/kms-truth.ts';
import { create, otherRegion, type Scenario } from './scenario.ts';

const day = 86_400_000;
const daysFromNow = (date: string | Date | null | undefined) =>
  Math.round((new Date(date ?? 0).getTime() - Date.now()) / day);

const eachWindow = [
  { name: 'the default window', body: {}, query: '', days: 30 },
  { name: "the key's own window", body: { deletion_window_in_days: 7 }, query: '', days: 7 },
  { name: 'a window of the request', body: {}, query: '?deletion_window_in_days=12', days: 12 },
].map(
  ({ name, body, query, days }): Scenario => ({
    name: `delete: ${name}`,
    run: async (context) => {
      const key = await create(context, body);
      const answer = await context.call('DELETE', `/v1/keys/${key.id}${query}`);
      assert.equal(answer.status, 202);
      assert.equal(answer.body.status.state, 'pending_deletion');
      assert.equal(answer.body.status.key_state, 'PendingDeletion');
      assert.equal(daysFromNow(answer.body.status.deletion_date), days);
      const { KeyState, DeletionDate } = await metadata(context.kms, key.key_id);
      assert.equal(KeyState, 'PendingDeletion');
      assert.equal(daysFromNow(DeletionDate), days);
    },
  }),
);

const eachRestore = [true, false].map(
  (isEnabled): Scenario => ({
    name: `delete: restore brings ${isEnabled ? 'an enabled' : 'a disabled'} key back as it was`,
    run: async (context) => {
      const key = await create(context, { is_enabled: isEnabled, enable_key_rotation: true });
      await context.call('DELETE', `/v1/keys/${key.id}`);
      const { status, body } = await context.call('POST', `/v1/keys/${key.id}/restore`);
      assert.equal(status, 200, JSON.stringify(body));
      assert.equal(body.status.state, 'in_sync');
      assert.equal((await metadata(context.kms, key.key_id)).KeyState, isEnabled ? 'Enabled' : 'Disabled');
      assert.deepEqual(await rotation(context.kms, key.key_id), { enabled: true, period: 365 });
    },
  }),
);

export const deleteScenarios: Scenario[] = [
  ...eachWindow,
  ...eachRestore,
  {
    name: 'delete: asking again changes nothing',
    run: async (context) => {
      const { id } = await create(context);
      const first = await context.call('DELETE', `/v1/keys/${id}`);
      const again = await context.call('DELETE', `/v1/keys/${id}?deletion_window_in_days=7`);
      assert.equal(again.status, 202);
      assert.deepEqual(again.body, first.body);
    },
  },
  {
    name: 'delete: deletion_protection gives 409, and KMS keeps the key',
    run: async (context) => {
      const key = await create(context, { deletion_protection: true });
      assert.equal((await context.call('DELETE', `/v1/keys/${key.id}`)).status, 409);
      assert.equal((await metadata(context.kms, key.key_id)).KeyState, 'Enabled');
    },
  },
  {
    name: 'delete: a multi-Region primary with replicas waits for them, and status says so',
    run: async (context) => {
      const key = await create(context, { multi_region: true });
      await context.kms.send(new ReplicateKeyCommand({ KeyId: key.key_id, ReplicaRegion: otherRegion }));
      const { status, body } = await context.call('DELETE', `/v1/keys/${key.id}?deletion_window_in_days=7`);
      assert.equal(status, 202);
      assert.equal(body.status.state, 'pending_deletion');
      assert.equal(body.status.key_state, 'PendingReplicaDeletion');
      assert.equal(body.status.deletion_date, null);
      const { KeyMetadata } = await context.kms.send(new DescribeKeyCommand({ KeyId: key.key_id }));
      assert.equal(KeyMetadata?.PendingDeletionWindowInDays, 7);
      const restored = await context.call('POST', `/v1/keys/${key.id}/restore`);
      assert.equal(restored.body.status.state, 'in_sync');
    },
  },
  {
    name: 'release: KMS keeps the key as it is, without the ownership tag',
    run: async (context) => {
      const key = await create(context, { description: 'released', tags: { team: 'payments' } });
      assert.equal((await context.call('POST', `/v1/keys/${key.id}/release`)).status, 204);
      assert.equal((await context.call('GET', `/v1/keys/${key.id}`)).status, 404);
      const held = await metadata(context.kms, key.key_id);
      assert.equal(held.KeyState, 'Enabled');
      assert.equal(held.Description, 'released');
      assert.deepEqual(await tags(context.kms, key.key_id), { team: 'payments' });
    },
  },
];

import assert from 'node:assert/strict';
import {
  DisableKeyCommand,
  DisableKeyRotationCommand,
  EnableKeyRotationCommand,
  PutKeyPolicyCommand,
  ScheduleKeyDeletionCommand,
  TagResourceCommand,
  UntagResourceCommand,
  UpdateKeyDescriptionCommand,
} from '@aws-sdk/client-kms';
import { metadata, ownPolicyOf } from '../support/kms-truth.ts';
import { type Context, create, type Scenario } from './scenario.ts';

type Disturbance = {
  field: string;
  name: string;
  change: (context: Context, KeyId: string, account: string) => Promise<unknown>;
};

const disturbances: Disturbance[] = [
  {
    field: 'description',
    name: 'description',
    change: ({ kms }, KeyId) => kms.send(new UpdateKeyDescriptionCommand({ KeyId, Description: 'changed outside' })),
  },
  { field: 'is_enabled', name: 'is_enabled', change: ({ kms }, KeyId) => kms.send(new DisableKeyCommand({ KeyId })) },
  {
    field: 'enable_key_rotation',
    name: 'enable_key_rotation',
    change: ({ kms }, KeyId) => kms.send(new DisableKeyRotationCommand({ KeyId })),
  },
  {
    field: 'rotation_period_in_days',
    name: 'rotation_period_in_days',
    change: ({ kms }, KeyId) => kms.send(new EnableKeyRotationCommand({ KeyId, RotationPeriodInDays: 300 })),
  },
  {
    field: 'policy',
    name: 'policy',
    change: ({ kms }, KeyId, account) => {
      const Policy = JSON.stringify(ownPolicyOf(account, 'Outside'));
      return kms.send(new PutKeyPolicyCommand({ KeyId, Policy, PolicyName: 'default' }));
    },
  },
  {
    field: 'tags.added',
    name: 'a tag added',
    change: ({ kms }, KeyId) =>
      kms.send(new TagResourceCommand({ KeyId, Tags: [{ TagKey: 'added', TagValue: 'outside' }] })),
  },
  {
    field: 'tags.kept',
    name: 'a tag changed',
    change: ({ kms }, KeyId) =>
      kms.send(new TagResourceCommand({ KeyId, Tags: [{ TagKey: 'kept', TagValue: 'outside' }] })),
  },
  {
    field: 'tags.kept',
    name: 'a tag removed',
    change: ({ kms }, KeyId) => kms.send(new UntagResourceCommand({ KeyId, TagKeys: ['kept'] })),
  },
  {
    field: 'key_state',
    name: 'deletion scheduled',
    change: ({ kms }, KeyId) => kms.send(new ScheduleKeyDeletionCommand({ KeyId, PendingWindowInDays: 7 })),
  },
];

export const driftScenarios: Scenario[] = disturbances.map(({ field, name, change }) => ({
  name: `drift: ${name} outside; refresh shows it, sync repairs it`,
  run: async (context) => {
    const { call, kms } = context;
    const { AWSAccountId: account = '' } = await metadata(kms, (await create(context)).key_id);
    const declared = {
      description: 'mine',
      enable_key_rotation: true,
      policy: ownPolicyOf(account, 'Mine'),
      tags: { kept: '1' },
    };
    const key = await create(context, declared);
    await change(context, key.key_id, account);
    const { body: refreshed } = await call('POST', `/v1/keys/${key.id}/refresh`);
    assert.equal(refreshed.status.state, 'drifted');
    const fields = refreshed.status.drift.map((entry) => entry.field);
    assert.ok(fields.includes(field), `${field} is among ${fields}`);
    const { status, body: synced } = await call('POST', `/v1/keys/${key.id}/sync`);
    assert.equal(status, 200);
    assert.equal(synced.status.state, 'in_sync');
    const { body: again } = await call('POST', `/v1/keys/${key.id}/refresh`);
    assert.deepEqual(again.status.drift, []);
    assert.equal((await metadata(kms, key.key_id)).KeyState, 'Enabled');
  },
}));

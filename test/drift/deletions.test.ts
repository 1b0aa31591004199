import {
  CancelKeyDeletionCommand,
  EnableKeyRotationCommand,
  PutKeyPolicyCommand,
  ScheduleKeyDeletionCommand,
  TagResourceCommand,
  UpdateKeyDescriptionCommand,
} from '@aws-sdk/client-kms';
import { test } from 'tap';
import type { Event } from '../../src/schemas/history.ts';
import type { Drift } from '../../src/schemas/key.ts';
import { metadata, ownPolicy, policy, rotation, tags } from '../support/kms-truth.ts';
import { eventually, startService, withMovedClock } from '../support/service.ts';

test('deletions that somebody else schedules or cancels, between two refreshes', { jobs: 4 }, async (t) => {
  const { call, kms } = await startService(t, withMovedClock);
  const create = async (body: object) => {
    const { body: key } = await call('POST', '/v1/keys', body);
    return { ...key, key_id: key.key_id ?? '' };
  };
  const statusAfter = async (id: string, action: string) =>
    (await call('POST', `/v1/keys/${id}/${action}`)).body.status;
  const keyState = async (keyId: string) => (await metadata(kms, keyId)).KeyState;
  const meddle = async (KeyId: string) => {
    await kms.send(new UpdateKeyDescriptionCommand({ KeyId, Description: 'theirs' }));
    await kms.send(new PutKeyPolicyCommand({ KeyId, Policy: JSON.stringify(ownPolicy('Theirs')) }));
    await kms.send(new TagResourceCommand({ KeyId, Tags: [{ TagKey: 'theirs', TagValue: '1' }] }));
    await kms.send(new EnableKeyRotationCommand({ KeyId, RotationPeriodInDays: 100 }));
    await kms.send(new ScheduleKeyDeletionCommand({ KeyId }));
  };
  const declared = { description: 'mine', policy: ownPolicy('Mine'), tags: { mine: '1' } };

  t.test(
    'enforce brings the key back, whoever saw it first, and all that settled wrong meanwhile',
    { buffered: true },
    async (t) => {
      const cases = [
        { action: 'refresh', rotates: true },
        { action: 'sync', rotates: false },
      ];
      await Promise.all(
        cases.map(async ({ action, rotates }) => {
          const key = await create({ ...declared, enable_key_rotation: rotates });
          await meddle(key.key_id);
          const status = await statusAfter(key.id, action);
          if (action === 'refresh') t.match(status, { state: 'drifted', key_state: 'PendingDeletion' });
          const wanted = { enabled: rotates, period: rotates ? 365 : null };
          await eventually(`${action}: enabled, and rotating as declared`, async () => {
            if ((await keyState(key.key_id)) !== 'Enabled') return false;
            return JSON.stringify(await rotation(kms, key.key_id)) === JSON.stringify(wanted);
          });
          await eventually('in sync', async () => {
            const { status: now } = (await call('GET', `/v1/keys/${key.id}`)).body;
            return now.state === 'in_sync' && now.drift.length === 0;
          });
          t.equal((await metadata(kms, key.key_id)).Description, 'mine');
          t.same(await policy(kms, key.key_id), ownPolicy('Mine'));
          t.same(await tags(kms, key.key_id), { mine: '1', 'keyward:id': key.id });
          const { body } = await call<{ items: Event[] }>('GET', `/v1/keys/${key.id}/events?type=drift.detected`);
          const fields = body.items.flatMap(({ data }) => data['drift'] as Drift[]).map(({ field }) => field);
          const ofRotation = rotates ? [] : ['enable_key_rotation'];
          t.same(fields.sort(), ['description', ...ofRotation, 'key_state', 'policy', 'tags.theirs']);
        }),
      );
    },
  );

  t.test('KMS does not tell of the rotation of such a key: that is no drift', { buffered: true }, async (t) => {
    const key = await create({ enable_key_rotation: true, drift_policy: 'report' });
    await kms.send(new ScheduleKeyDeletionCommand({ KeyId: key.key_id }));
    t.match(await statusAfter(key.id, 'refresh'), {
      drift: [{ field: 'key_state', desired: 'Enabled', observed: 'PendingDeletion' }],
    });
    t.equal((await call('GET', `/v1/keys/${key.id}`)).body.status.drift.length, 1);
  });

  t.test(
    'adopt takes it that somebody has cancelled a deletion that Keyward was asked for',
    { buffered: true },
    async (t) => {
      const key = await create({ drift_policy: 'adopt', description: 'mine' });
      t.equal((await call('DELETE', `/v1/keys/${key.id}`)).status, 202);
      await kms.send(new CancelKeyDeletionCommand({ KeyId: key.key_id }));
      t.match(await statusAfter(key.id, 'refresh'), {
        state: 'pending_deletion',
        drift: [{ field: 'key_state', desired: 'PendingDeletion', observed: 'Disabled' }],
      });
      const adopted = await eventually('adopted', async () => {
        const { body } = await call('GET', `/v1/keys/${key.id}`);
        return body.status.state === 'in_sync' && body;
      });
      t.match(adopted, {
        description: 'mine',
        is_enabled: false,
        status: { generation: 3, drift: [], deletion_date: null },
      });
      t.equal(await keyState(key.key_id), 'Disabled');
      const { body } = await call<{ items: Event[] }>(
        'GET',
        `/v1/keys/${key.id}/events?type=desired_state.changed&limit=1`,
      );
      t.match(body.items, [{ origin: 'drift', actor: 'keyward', after: { lifecycle: 'managed', is_enabled: false } }]);
    },
  );

  t.test(
    'enforce schedules such a deletion again, report shows that it was cancelled',
    { buffered: true },
    async (t) => {
      for (const drift_policy of ['enforce', 'report']) {
        const key = await create({ drift_policy, deletion_window_in_days: 9 });
        await call('DELETE', `/v1/keys/${key.id}`);
        await kms.send(new CancelKeyDeletionCommand({ KeyId: key.key_id }));
        t.match(await statusAfter(key.id, 'refresh'), { state: 'pending_deletion', drift: [{ field: 'key_state' }] });
        if (drift_policy === 'report') {
          await eventually('it is counted', async () => {
            const { body: text } = await call<string>('GET', '/metrics');
            // This key, and that of the test above that stays drifted.
            return text.includes('keyward_drift{provider="default",field="key_state"} 2');
          });
          continue;
        }
        await eventually('scheduled', async () => (await keyState(key.key_id)) === 'PendingDeletion');
      }
    },
  );
});

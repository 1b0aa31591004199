import {
  DisableKeyCommand,
  EnableKeyRotationCommand,
  PutKeyPolicyCommand,
  ScheduleKeyDeletionCommand,
  TagResourceCommand,
  UntagResourceCommand,
  UpdateKeyDescriptionCommand,
} from '@aws-sdk/client-kms';
import { test } from 'tap';
import { metadata, ownPolicy, policy, rotation, tags } from '../support/kms-truth.ts';
import { eventually, type Problem, startService, withMovedClock } from '../support/service.ts';

test('refresh and sync', async (t) => {
  const { call, kms, control } = await startService(t, withMovedClock);
  // Left alone by the drift policy: what a look or a sync does is to be seen by itself.
  const create = async (body: object = {}) => {
    const { body: key } = await call('POST', '/v1/keys', { drift_policy: 'report', ...body });
    await control.clear();
    return { ...key, key_id: key.key_id ?? '' };
  };

  const disturb = async (KeyId: string) => {
    await kms.send(new UpdateKeyDescriptionCommand({ KeyId, Description: 'changed outside' }));
    await kms.send(new EnableKeyRotationCommand({ KeyId, RotationPeriodInDays: 100 }));
    await kms.send(new PutKeyPolicyCommand({ KeyId, Policy: JSON.stringify(ownPolicy('Outside')) }));
    await kms.send(new UntagResourceCommand({ KeyId, TagKeys: ['gone'] }));
    await kms.send(
      new TagResourceCommand({
        KeyId,
        Tags: [
          { TagKey: 'changed', TagValue: 'outside' },
          { TagKey: 'added', TagValue: 'outside' },
        ],
      }),
    );
    await kms.send(new DisableKeyCommand({ KeyId }));
    await control.clear();
  };
  const declared = { description: 'mine', policy: ownPolicy('Mine'), tags: { changed: '1', gone: '2', kept: '3' } };

  t.test('refresh says exactly what differs and changes nothing', async (t) => {
    const { id, key_id } = await create(declared);
    await disturb(key_id);
    const { status, body } = await call('POST', `/v1/keys/${id}/refresh`);
    t.equal(status, 200);
    t.equal(body.status.state, 'drifted');
    t.equal(body.status.generation, 1);
    t.same(
      body.status.drift.map(({ field, desired, observed }) => [field, desired, observed]),
      [
        ['description', 'mine', 'changed outside'],
        ['is_enabled', true, false],
        ['enable_key_rotation', false, true],
        ['policy', ownPolicy('Mine').Statement, ownPolicy('Outside').Statement],
        ['tags.added', null, 'outside'],
        ['tags.changed', '1', 'outside'],
        ['tags.gone', '2', null],
      ],
    );
    t.match(body, declared, 'the desired state is as declared');
    t.same(await control.calls(), [], 'no write');
    const since = body.status.drift[0]?.since;
    const { body: again } = await call('POST', `/v1/keys/${id}/refresh`);
    t.equal(again.status.drift[0]?.since, since, 'since stays');
  });

  t.test('sync puts KMS back, whatever the drift policy', async (t) => {
    for (const drift_policy of ['enforce', 'report']) {
      const { id, key_id } = await create({ ...declared, drift_policy });
      await disturb(key_id);
      const { status, body } = await call('POST', `/v1/keys/${id}/sync`);
      t.equal(status, 200);
      t.match(body.status, { state: 'in_sync', generation: 1, drift: [], key_state: 'Enabled' });
      t.equal((await metadata(kms, key_id)).Description, 'mine');
      t.same(await rotation(kms, key_id), { enabled: false, period: null });
      t.same(await policy(kms, key_id), ownPolicy('Mine'));
      t.same(await tags(kms, key_id), { ...declared.tags, 'keyward:id': id });
    }
  });

  t.test('sync of a key that KMS refused asks for it again, and says why it is refused again', async (t) => {
    const refused = { operation: 'CreateKey', kind: 'error', type: 'LimitExceededException', message: 'full' };
    await control.fault({ ...refused, times: 2 });
    const { body: key } = await call('POST', '/v1/keys', {}, { prefer: 'respond-async' });
    await eventually('failed', async () => (await call('GET', `/v1/keys/${key.id}`)).body.status.state === 'failed');
    const { status, body } = await call<Problem>('POST', `/v1/keys/${key.id}/sync`);
    t.equal(status, 422);
    t.match(body, { detail: /failed/, kms_error: { code: 'LimitExceededException', operation: 'CreateKey' } });
    t.match((await call('POST', `/v1/keys/${key.id}/sync`)).body.status, { state: 'in_sync', error: null });
  });

  t.test('sync brings back a key whose deletion somebody else scheduled', async (t) => {
    const { id, key_id } = await create();
    await kms.send(new ScheduleKeyDeletionCommand({ KeyId: key_id, PendingWindowInDays: 7 }));
    const { body: seen } = await call('POST', `/v1/keys/${id}/refresh`);
    t.match(seen.status, { state: 'drifted', key_state: 'PendingDeletion' });
    t.match(seen.status.deletion_date, /^\d{4}-/);
    const { body } = await call('POST', `/v1/keys/${id}/sync`);
    t.match(body.status, { state: 'in_sync', key_state: 'Enabled', deletion_date: null });
  });

  t.test('a key in sync costs four reads, three where rotation does not apply, and no write', async (t) => {
    for (const [body, reads] of [
      [{}, 4],
      [{ customer_master_key_spec: 'HMAC_256', key_usage: 'GENERATE_VERIFY_MAC' }, 3],
    ] as const) {
      const { id } = await create(body);
      for (const action of ['refresh', 'sync']) {
        await control.clear();
        t.equal((await call('POST', `/v1/keys/${id}/${action}`)).body.status.state, 'in_sync');
        t.equal((await control.calls({ reads: true })).length, reads, action);
        t.same(await control.calls(), []);
      }
    }
  });

  t.test('a key that is gone for good fails, and is not made anew', async (t) => {
    const { id, key_id } = await create({ description: 'gone' });
    await kms.send(new ScheduleKeyDeletionCommand({ KeyId: key_id, PendingWindowInDays: 7 }));
    await control.advanceClock(7 * 86_400 + 1);
    await control.clear();
    await call('POST', `/v1/keys/${id}/refresh`);
    const body = await eventually('it has failed', async () => {
      const found = (await call('GET', `/v1/keys/${id}`)).body;
      return found.status.state === 'failed' && found;
    });
    t.match(body.status, { state: 'failed', key_state: null, error: { code: 'NotFoundException', retryable: false } });
    await call('POST', `/v1/keys/${id}/sync`);
    t.same(await control.calls(), [], 'no CreateKey');
  });

  t.test('an unknown key is 404, and a body is refused', async (t) => {
    const { id } = await create();
    for (const action of ['refresh', 'sync', 'restore', 'release']) {
      t.equal((await call<Problem>('POST', `/v1/keys/01980e6c-0000-7000-8000-000000000000/${action}`)).status, 404);
      t.equal((await call<Problem>('POST', `/v1/keys/${id}/${action}`, { force: true })).status, 400, action);
    }
    t.equal((await call('POST', `/v1/keys/${id}/refresh`, {})).status, 200, 'an empty object is none');
  });
});

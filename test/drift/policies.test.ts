import {
  CancelKeyDeletionCommand,
  DisableKeyCommand,
  DisableKeyRotationCommand,
  EnableKeyRotationCommand,
  PutKeyPolicyCommand,
  ScheduleKeyDeletionCommand,
  TagResourceCommand,
  UntagResourceCommand,
  UpdateKeyDescriptionCommand,
} from '@aws-sdk/client-kms';
import { test } from 'tap';
import type { Event } from '../../src/schemas/history.ts';
import type { Key } from '../../src/schemas/key.ts';
import { metadata, ownPolicy, policy, rotation, tags } from '../support/kms-truth.ts';
import { eventually, startService, withMovedClock } from '../support/service.ts';

const declared = {
  description: 'mine',
  policy: ownPolicy('Mine'),
  enable_key_rotation: true,
  rotation_period_in_days: 100,
  tags: { kept: '1', changed: '1', removed: '1' },
};
type Declared = Pick<
  Key,
  'description' | 'is_enabled' | 'enable_key_rotation' | 'rotation_period_in_days' | 'policy' | 'tags'
>;

type EventRow = { type: string; data: { drift?: { field: string }[]; origin?: string } };

test('drift under each policy, found by the refresh of the fleet', async (t) => {
  const { call, kms, services } = await startService(t, { REFRESH_INTERVAL_SECONDS: '1' });
  const disturbances: {
    name: string;
    field: string;
    act: (KeyId: string) => Promise<unknown>;
    becomes: Partial<Declared>;
  }[] = [
    {
      name: 'description',
      field: 'description',
      act: (KeyId) => kms.send(new UpdateKeyDescriptionCommand({ KeyId, Description: 'outside' })),
      becomes: { description: 'outside' },
    },
    {
      name: 'is_enabled',
      field: 'is_enabled',
      act: (KeyId) => kms.send(new DisableKeyCommand({ KeyId })),
      becomes: { is_enabled: false },
    },
    {
      name: 'enable_key_rotation',
      field: 'enable_key_rotation',
      act: (KeyId) => kms.send(new DisableKeyRotationCommand({ KeyId })),
      becomes: { enable_key_rotation: false, rotation_period_in_days: null },
    },
    {
      name: 'rotation_period_in_days',
      field: 'rotation_period_in_days',
      act: (KeyId) => kms.send(new EnableKeyRotationCommand({ KeyId, RotationPeriodInDays: 200 })),
      becomes: { rotation_period_in_days: 200 },
    },
    {
      name: 'policy',
      field: 'policy',
      act: (KeyId) => kms.send(new PutKeyPolicyCommand({ KeyId, Policy: JSON.stringify(ownPolicy('Outside')) })),
      becomes: { policy: ownPolicy('Outside') },
    },
    {
      name: 'a tag added',
      field: 'tags.added',
      act: (KeyId) => kms.send(new TagResourceCommand({ KeyId, Tags: [{ TagKey: 'added', TagValue: '2' }] })),
      becomes: { tags: { ...declared.tags, added: '2' } },
    },
    {
      name: 'a tag changed',
      field: 'tags.changed',
      act: (KeyId) => kms.send(new TagResourceCommand({ KeyId, Tags: [{ TagKey: 'changed', TagValue: '2' }] })),
      becomes: { tags: { ...declared.tags, changed: '2' } },
    },
    {
      name: 'a tag removed',
      field: 'tags.removed',
      act: (KeyId) => kms.send(new UntagResourceCommand({ KeyId, TagKeys: ['removed'] })),
      becomes: { tags: { kept: '1', changed: '1' } },
    },
  ];
  const read = async (id: string) => (await call('GET', `/v1/keys/${id}`)).body;
  const asDeclared = ({
    description,
    is_enabled,
    enable_key_rotation,
    rotation_period_in_days,
    policy,
    tags,
  }: Key): Declared => ({
    description,
    is_enabled,
    enable_key_rotation,
    rotation_period_in_days,
    policy,
    tags,
  });
  const inKms = async (KeyId: string): Promise<Declared> => {
    const { Description = '', KeyState } = await metadata(kms, KeyId);
    const { 'keyward:id': _owner, ...others } = await tags(kms, KeyId);
    const { enabled, period } = await rotation(kms, KeyId);
    return {
      description: Description,
      is_enabled: KeyState === 'Enabled',
      enable_key_rotation: enabled,
      rotation_period_in_days: period,
      policy: (await policy(kms, KeyId)) as Declared['policy'],
      tags: others,
    };
  };
  const driftEvents = async (id: string) => {
    const { rows } = await services.database.pool.query<EventRow>(
      "SELECT type, data FROM events WHERE key_ref = $1 AND type LIKE 'drift.%' ORDER BY seq",
      [id],
    );
    return rows.map(({ type, data }) => `${type} ${data.drift?.map(({ field }) => field)}`);
  };

  for (const drift_policy of ['enforce', 'report', 'adopt'] as const) {
    t.test(`drift_policy ${drift_policy}`, async (t) => {
      await Promise.all(
        disturbances.map(async ({ name, field, act, becomes }) => {
          const { body: key } = await call('POST', '/v1/keys', { ...declared, drift_policy });
          const keyId = key.key_id ?? '';
          const mine = asDeclared(key);
          await act(keyId);
          const ended = await eventually(`${name} is dealt with`, async () => {
            const events = await driftEvents(key.id);
            return events.includes(drift_policy === 'report' ? `drift.detected ${field}` : `drift.resolved ${field}`);
          });
          t.ok(ended);
          const now = await read(key.id);
          const theirs = { ...mine, ...becomes };
          if (drift_policy === 'enforce') {
            t.same(await inKms(keyId), mine, `${name}: KMS is put back`);
            t.match(now.status, { state: 'in_sync', drift: [], generation: 1 });
          } else if (drift_policy === 'adopt') {
            t.same(await inKms(keyId), theirs, `${name}: KMS is left as it is`);
            t.same(asDeclared(now), theirs, `${name}: and that is what is declared now`);
            t.match(now.status, { state: 'in_sync', drift: [], generation: 2, synced_generation: 2 });
            const revision = await services.database.prisma.revision.findFirst({
              where: { key_ref: key.id, generation: 2 },
            });
            t.match(revision, { origin: 'drift', actor: 'keyward', outcome: 'held' });
            const { body: history } = await call<{ items: Event[] }>('GET', `/v1/keys/${key.id}/events`);
            const ended = history.items.find((event) => event.type === 'drift.resolved');
            t.same(ended?.after, ended?.before, `${name}: what was there is declared now`);
          } else {
            t.same(await inKms(keyId), theirs, `${name}: KMS is left as it is`);
            t.same(asDeclared(now), mine, `${name}: what is declared stays`);
            t.equal(now.status.state, 'drifted');
            t.same(
              now.status.drift.map((entry) => entry.field),
              [field],
            );
            const since = now.status.drift[0]?.since;
            await call('POST', `/v1/keys/${key.id}/sync`);
            t.match((await read(key.id)).status, { state: 'in_sync', drift: [] }, 'POST …/sync enforces all the same');
            t.ok(Date.parse(since ?? '') <= Date.now());
          }
          t.same(
            await driftEvents(key.id),
            [`drift.detected ${field}`, `drift.resolved ${field}`],
            'one event each way',
          );
        }),
      );
    });
  }

  t.test('a deletion scheduled outside: enforce brings the key back, report and adopt show it', async (t) => {
    const [enforced, reported, adopted] = await Promise.all(
      ['enforce', 'report', 'adopt'].map(async (drift_policy) => {
        const { body: key } = await call('POST', '/v1/keys', { ...declared, drift_policy });
        await kms.send(new ScheduleKeyDeletionCommand({ KeyId: key.key_id ?? '' }));
        return key;
      }),
    );
    await eventually('the deletion is cancelled and the key enabled', async () => {
      return (await metadata(kms, enforced?.key_id ?? '')).KeyState === 'Enabled';
    });
    const back = await eventually('it is in sync', async () => {
      const key = await read(enforced?.id ?? '');
      return key.status.state === 'in_sync' && key;
    });
    t.same(await inKms(back.key_id ?? ''), asDeclared(enforced as Key));
    for (const shown of [reported, adopted]) {
      const key = await eventually('the drift shows', async () => {
        const current = await read(shown?.id ?? '');
        return current.status.state === 'drifted' && current;
      });
      t.match(key.status, { key_state: 'PendingDeletion', generation: 1 });
      t.ok(key.status.drift.some(({ field, observed }) => field === 'key_state' && observed === 'PendingDeletion'));
      await kms.send(new CancelKeyDeletionCommand({ KeyId: key.key_id ?? '' }));
      // Cancelling leaves a key disabled.
      const wanted = ['drift.detected key_state', 'drift.detected is_enabled', 'drift.resolved key_state'];
      if (key.drift_policy === 'adopt') wanted.push('drift.resolved is_enabled');
      await eventually('that drift ends', async () => (await driftEvents(key.id)).length === wanted.length);
      t.same(await driftEvents(key.id), wanted);
    }
  });
});

test('POST …/refresh shows drift and leaves it; the drift policy sees to it soon after', async (t) => {
  const { call, kms } = await startService(t);
  const { body: key } = await call('POST', '/v1/keys', { description: 'mine' });
  const KeyId = key.key_id ?? '';
  await kms.send(new UpdateKeyDescriptionCommand({ KeyId, Description: 'outside' }));
  const { body: refreshed } = await call('POST', `/v1/keys/${key.id}/refresh`);
  t.match(refreshed.status, {
    state: 'drifted',
    drift: [{ field: 'description', desired: 'mine', observed: 'outside' }],
  });
  t.equal((await metadata(kms, KeyId)).Description, 'outside');
  await eventually('it is put back', async () => (await metadata(kms, KeyId)).Description === 'mine');
});

test('a key that is gone for good is failed with a clear error, and never silently made anew', async (t) => {
  const { call, kms, control } = await startService(t, { REFRESH_INTERVAL_SECONDS: '1', ...withMovedClock });
  const { body: key } = await call('POST', '/v1/keys', { drift_policy: 'report' });
  await kms.send(new ScheduleKeyDeletionCommand({ KeyId: key.key_id ?? '', PendingWindowInDays: 7 }));
  await control.advanceClock(8 * 86_400);
  const gone = await eventually('it has failed', async () => {
    const { body } = await call('GET', `/v1/keys/${key.id}`);
    return body.status.state === 'failed' && body;
  });
  t.match(gone.status.error, { code: 'NotFoundException', retryable: false });
  t.equal(gone.status.key_state, null);
  t.equal((await control.calls()).filter(({ operation }) => operation === 'CreateKey').length, 1);
});

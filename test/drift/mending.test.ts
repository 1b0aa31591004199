import { UntagResourceCommand, UpdateKeyDescriptionCommand } from '@aws-sdk/client-kms';
import { test } from 'tap';
import type { Event } from '../../src/schemas/history.ts';
import type { Key } from '../../src/schemas/key.ts';
import { metadata, ownPolicy } from '../support/kms-truth.ts';
import { addProvider } from '../support/providers.ts';
import { caller, eventually, type Problem, startService, withMovedClock } from '../support/service.ts';

test('a key is drifted until it is put back, also where KMS does not let it be yet, or at all', async (t) => {
  const { call, kms, kmsUrl, control } = await startService(t, withMovedClock);
  const disturbed = async (fault: object) => {
    const { body: key } = await call('POST', '/v1/keys', { description: 'mine', tags: { mine: '1' } });
    const KeyId = key.key_id ?? '';
    await kms.send(new UpdateKeyDescriptionCommand({ KeyId, Description: 'theirs' }));
    await kms.send(new UntagResourceCommand({ KeyId, TagKeys: ['mine'] }));
    await control.fault({ operation: 'UpdateKeyDescription', ...fault });
    return key;
  };
  const status = async (id: string) => (await call('GET', `/v1/keys/${id}`)).body.status;

  t.test('a fault', async (t) => {
    const { id } = await disturbed({ kind: 'internal_error', times: null });
    t.equal((await call('POST', `/v1/keys/${id}/sync`, undefined, { prefer: 'wait=0' })).status, 202);
    const waiting = await eventually('tried', async () => {
      const now = await status(id);
      return now.error !== null && now;
    });
    t.match(waiting, {
      state: 'drifted',
      drift: [{ field: 'description' }, { field: 'tags.mine' }],
      error: { retryable: true },
    });
    const { body: list } = await call<{ items: Key[] }>('GET', '/v1/keys?state=drifted');
    t.same(
      list.items.map((key) => key.id),
      [id],
    );
    const { body: text } = await call<string>('GET', '/metrics');
    for (const field of ['description', 'tags']) {
      t.match(text, `keyward_drift{provider="default",field="${field}"} 1`);
    }
    await control.clearFaults();
    await eventually('put back', async () => (await status(id)).state === 'in_sync');
  });

  t.test('a refusal', async (t) => {
    const { id, key_id } = await disturbed({ kind: 'error', type: 'ValidationException', message: 'not allowed' });
    const { status: code, body } = await call<Problem>('POST', `/v1/keys/${id}/sync`);
    t.equal(code, 422);
    t.match(body, {
      detail: /not allowed.*drifted/,
      kms_error: { code: 'ValidationException', operation: 'UpdateKeyDescription' },
    });
    t.match(await status(id), { state: 'drifted', drift: [{ field: 'description' }, { field: 'tags.mine' }] });
    t.equal((await call('POST', `/v1/keys/${id}/sync`)).status, 200, 'and it can be asked for again');
    t.match(await status(id), { state: 'in_sync', drift: [], error: null });
    t.match(await metadata(kms, key_id ?? ''), { Description: 'mine' });
  });

  t.test('a key that KMS does not let Keyward read keeps its state, and says what it is about', async (t) => {
    const { body: held } = await call('POST', '/v1/keys', { policy: ownPolicy('Held') });
    const { body: key } = await call('POST', '/v1/keys', {});
    const { body: deleted } = await call('DELETE', `/v1/keys/${key.id}`);
    const denied = { kind: 'error', type: 'AccessDeniedException', message: 'not allowed to read the policy' };
    await control.fault({ operation: 'GetKeyPolicy', ...denied, times: null });
    for (const { id, status: before } of [held, deleted]) {
      const { body } = await call('POST', `/v1/keys/${id}/refresh`);
      t.match(body.status, { state: before.state, drift: [], key_state: before.key_state });
      t.match(body.status.error, { code: 'AccessDeniedException', message: /read the policy/ });
      t.ok(body.status.error?.next_attempt_at, 'it will be asked again');
      t.equal(body.status.last_observed_at, before.last_observed_at, 'nothing was observed');
    }
    await control.clearFaults();
    for (const { id, status: before } of [held, deleted]) {
      const { body } = await call('POST', `/v1/keys/${id}/refresh`);
      t.match(body.status, { state: before.state, error: null });
    }
  });

  t.test('a change of default tags that KMS refuses is no drift of the key', async (t) => {
    await addProvider(call, { name: 'tagged', region: 'us-east-1' });
    const { body: key } = await call('POST', '/v1/keys', { provider: 'tagged' });
    await control.fault({ operation: 'TagResource', kind: 'error', type: 'TagException', message: 'no', times: null });
    await call('PATCH', '/v1/providers/tagged', { default_tags: { env: 'prod' } });
    const told = await eventually('the refusal shows', async () => {
      const now = await status(key.id);
      return now.error !== null && now;
    });
    t.match(told, { state: 'updating', drift: [], error: { code: 'TagException' } });
    await control.clearFaults();
    t.match((await call('POST', `/v1/keys/${key.id}/sync`)).body.status, { state: 'in_sync', error: null });
  });

  t.test('drift, and the write that puts it right, are events of the origin drift', async (t) => {
    const { body: key } = await call('POST', '/v1/keys', { tags: { mine: '1' } });
    await kms.send(new UntagResourceCommand({ KeyId: key.key_id ?? '', TagKeys: ['mine'] }));
    await call('POST', `/v1/keys/${key.id}/sync`);
    const { body: events } = await call<{ items: Event[] }>('GET', `/v1/keys/${key.id}/events`);
    t.match(events.items, [
      { type: 'drift.resolved', before: { 'tags.mine': null }, after: { 'tags.mine': '1' } },
      { type: 'kms.write', data: { operation: 'TagResource' } },
      { type: 'drift.detected', before: { 'tags.mine': '1' }, after: { 'tags.mine': null } },
      { type: 'sync.requested', origin: 'api' },
      { type: 'kms.write', origin: 'api', data: { operation: 'CreateKey' } },
      { type: 'desired_state.changed', origin: 'api' },
    ]);
    for (const event of events.items.slice(0, 3)) {
      t.match(event, { origin: 'drift', actor: 'keyward', request_id: null });
    }
  });

  t.test('a principal that was deleted comes back from KMS as its unique id: that is drift', async (t) => {
    const arn = 'arn:aws:iam::111122223333:role/gone';
    const ours = ownPolicy('Mine');
    const theirs = { Effect: 'Allow', Principal: { AWS: arn }, Action: 'kms:Decrypt', Resource: '*' };
    const body = { policy: { ...ours, Statement: [...ours.Statement, theirs] }, drift_policy: 'report' };
    const { body: key } = await call('POST', '/v1/keys', body);
    const { body: deleted } = await caller(kmsUrl)<{ unique_id: string }>('POST', '/_local/deleted-principals', {
      arn,
    });
    t.match((await call('POST', `/v1/keys/${key.id}/refresh`)).body.status.drift, [
      {
        field: 'policy',
        desired: [{ Principal: { AWS: arn } }],
        observed: [{ Principal: { AWS: deleted.unique_id } }],
      },
    ]);
  });

  t.test('a change puts right what it finds beside its own fields, and says so', async (t) => {
    const { body: key } = await call('POST', '/v1/keys', { description: 'mine', drift_policy: 'report' });
    await kms.send(new UpdateKeyDescriptionCommand({ KeyId: key.key_id ?? '', Description: 'theirs' }));
    const { body } = await call('PATCH', `/v1/keys/${key.id}`, { tags: { mine: '2' } });
    t.match(body.status, { state: 'in_sync', drift: [], generation: 2 });
    t.match(await metadata(kms, key.key_id ?? ''), { Description: 'mine' });
    const { body: events } = await call<{ items: Event[] }>('GET', `/v1/keys/${key.id}/events?limit=5`);
    t.match(events.items, [
      { type: 'drift.resolved', before: { description: 'theirs' }, after: { description: 'mine' } },
      { type: 'kms.write', after: { tags: { mine: '2' } } },
      { type: 'kms.write', before: { description: 'theirs' }, after: { description: 'mine' } },
      { type: 'drift.detected', origin: 'drift', before: { description: 'mine' }, after: { description: 'theirs' } },
      { type: 'desired_state.changed', after: { tags: { mine: '2' } } },
    ]);
    t.same(Object.keys(events.items[3]?.after ?? {}), ['description'], 'its own fields are no drift');
  });
});

test('what a change could not tell from a stale read is looked at again when it has settled', async (t) => {
  const { call, kms } = await startService(t, { SETTLE_SECONDS: '2' });
  const { body: key } = await call('POST', '/v1/keys', { description: 'mine' });
  await kms.send(new UpdateKeyDescriptionCommand({ KeyId: key.key_id ?? '', Description: 'theirs' }));
  await call('PATCH', `/v1/keys/${key.id}`, { tags: { mine: '1' } });
  await eventually('put back', async () => (await metadata(kms, key.key_id ?? '')).Description === 'mine');
});

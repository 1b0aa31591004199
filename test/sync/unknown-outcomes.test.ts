import { UpdateKeyDescriptionCommand } from '@aws-sdk/client-kms';
import tap, { test } from 'tap';
import type { Key } from '../../src/schemas/key.ts';
import { allKeyIds, metadata, ownPolicy, policy, rotation, tags } from '../support/kms-truth.ts';
import { eventually, type Problem, startService } from '../support/service.ts';

// Each waits for deadlines most of the time.
tap.jobs = 3;

const quick = { WRITE_DEADLINE_SECONDS: '9', SETTLE_SECONDS: '1' };
type Service = Awaited<ReturnType<typeof startService>>;

async function untilInState({ call }: Service, id: string, state: string): Promise<Key> {
  return eventually(`${id} is ${state}`, async () => {
    const { status, body } = await call('GET', `/v1/keys/${id}`);
    return status === 200 && body.status.state === state && body;
  });
}

for (const OWNERSHIP_SEARCH of ['listing', 'tagging']) {
  test(`a CreateKey without an answer ends in exactly one key, found by ${OWNERSHIP_SEARCH}`, {
    buffered: true,
  }, async (t) => {
    const service = await startService(t, { ...quick, OWNERSHIP_SEARCH });
    const { call, control, kms } = service;
    const faults = ['reset_after_effect', 'no_answer_after_effect', 'internal_error', 'reset_before_effect'];
    const ids: string[] = [];
    for (const kind of faults) {
      await control.fault({ operation: 'CreateKey', kind });
      const { body } = await call(
        'POST',
        '/v1/keys',
        { description: kind, tags: { kind } },
        { prefer: 'respond-async' },
      );
      // One at a time: the faults befall whoever comes first.
      await untilInState(service, body.id, 'in_sync');
      ids.push(body.id);
    }
    const inKms = await allKeyIds(kms);
    t.equal(inKms.length, faults.length, 'one key for each');
    const owners = await Promise.all(inKms.map(async (keyId) => (await tags(kms, keyId))['keyward:id']));
    t.same(new Set(owners), new Set(ids));
    const calls = (await control.calls({ reads: true })).filter(({ operation }) => operation === 'GetResources');
    t.equal(calls.length > 0, OWNERSHIP_SEARCH === 'tagging');
  });
}

test('DELETE of a key whose CreateKey has no answer: the key is found and its deletion scheduled', {
  buffered: true,
}, async (t) => {
  const service = await startService(t, quick);
  const { call, control, kms } = service;
  await control.fault(
    { operation: 'CreateKey', kind: 'reset_after_effect' },
    { operation: 'ListKeys', kind: 'throttle', times: 9 },
  );
  const { body: key } = await call('POST', '/v1/keys', {}, { prefer: 'respond-async' });
  await eventually('the answer was lost', async () => {
    const { body } = await call('GET', `/v1/keys/${key.id}`);
    return body.status.error !== null;
  });
  const { status } = await call('DELETE', `/v1/keys/${key.id}`, undefined, { prefer: 'respond-async' });
  t.equal(status, 202);
  const deleted = await eventually('its deletion is scheduled', async () => {
    const { body } = await call('GET', `/v1/keys/${key.id}`);
    return body.status.key_state === 'PendingDeletion' && body;
  });
  t.same(await allKeyIds(kms), [deleted.key_id]);
});

test('a search that KMS refuses takes nothing back and drops nothing', { buffered: true }, async (t) => {
  const service = await startService(t, quick);
  const { call, control, kms } = service;
  const denied = { type: 'AccessDeniedException', message: 'No.' };
  await control.fault(
    { operation: 'CreateKey', kind: 'reset_after_effect' },
    { operation: 'ListKeys', kind: 'error', times: 2, ...denied },
  );
  const { body: key, status } = await call('POST', '/v1/keys', { description: 'kept' });
  t.ok(status === 201 || status === 202);
  await untilInState(service, key.id, 'in_sync');
  t.equal((await allKeyIds(kms)).length, 1);
});

test('taking a refused update back goes on through faults, and the status says so', { buffered: true }, async (t) => {
  const service = await startService(t, quick);
  const { call, control, kms } = service;
  const before = { description: 'before', tags: { a: '1' }, policy: ownPolicy('Before') };
  const { body: key } = await call('POST', '/v1/keys', before);
  const keyId = key.key_id ?? '';
  await control.fault(
    { operation: 'PutKeyPolicy', kind: 'error', type: 'ValidationException', message: 'Not you.' },
    // Only the way back disables rotation.
    { operation: 'DisableKeyRotation', kind: 'throttle', times: 2 },
    { operation: 'DisableKeyRotation', kind: 'internal_error' },
  );
  const update = { description: 'after', tags: { a: '2' }, policy: ownPolicy('After'), enable_key_rotation: true };
  const patch = call<Problem>('PATCH', `/v1/keys/${key.id}`, update, { prefer: 'wait=60' });
  const meanwhile = await eventually('the way back meets a fault', async () => {
    const { body } = await call('GET', `/v1/keys/${key.id}`);
    return body.status.error?.next_attempt_at != null && body.status;
  });
  t.match(meanwhile, {
    state: 'updating',
    error: { code: 'ValidationException', message: 'Not you.', retryable: false },
  });
  const { status, body } = await patch;
  t.equal(status, 422);
  t.match(body.detail, /ValidationException: Not you\. The whole change was taken back\./);
  const { body: after } = await call('GET', `/v1/keys/${key.id}`);
  t.match(after, { ...before, enable_key_rotation: false });
  t.match(after.status, {
    state: 'in_sync',
    generation: 3,
    error: { code: 'ValidationException', retryable: false, next_attempt_at: null },
  });
  t.same(await rotation(kms, keyId), { enabled: false, period: null });
  t.equal((await metadata(kms, keyId)).Description, 'before');
  t.same(await policy(kms, keyId), ownPolicy('Before'));
  t.same(await tags(kms, keyId), { a: '1', 'keyward:id': key.id });
});

test('what KMS was told a moment ago counts for more than a read that lacks it', { buffered: true }, async (t) => {
  const service = await startService(t, { ...quick, SETTLE_SECONDS: '60' });
  const { call, control, kms } = service;
  const { body: key } = await call('POST', '/v1/keys', { description: 'first', tags: { a: '1' } });
  const keyId = key.key_id ?? '';
  await call('PATCH', `/v1/keys/${key.id}`, { description: 'second', tags: { a: null, b: '2' } });
  // A read that is as old as the first generation looks as if nothing were to be done for the third.
  await kms.send(new UpdateKeyDescriptionCommand({ KeyId: keyId, Description: 'first' }));
  await control.clear();
  const { status } = await call('PATCH', `/v1/keys/${key.id}`, { description: 'first' });
  t.equal(status, 200);
  t.same(
    (await control.calls()).map(({ operation }) => operation),
    ['UpdateKeyDescription'],
  );
});

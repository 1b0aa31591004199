import { isDeepStrictEqual } from 'node:util';
import { CancelKeyDeletionCommand, ScheduleKeyDeletionCommand, UpdateKeyDescriptionCommand } from '@aws-sdk/client-kms';
import { test } from 'tap';
import type { Event, Revision } from '../../src/schemas/history.ts';
import type { Key } from '../../src/schemas/key.ts';
import type { Plan } from '../../src/schemas/plan.ts';
import { sweepUnmanagedKeys } from '../../src/services/unmanaged/sweep.ts';
import { allKeyIds, metadata, ownPolicy, policy, tags } from '../support/kms-truth.ts';
import { eventually, type Problem, startService } from '../support/service.ts';

type Page<Item> = { items: Item[] };

const ecc = { customer_master_key_spec: 'ECC_NIST_P256', key_usage: 'SIGN_VERIFY' };

test('replacement', async (t) => {
  const { call, kms, control, services } = await startService(t);
  const create = async (body: object = {}) => (await call('POST', '/v1/keys', body)).body;
  const get = async (id: string) => (await call('GET', `/v1/keys/${id}`)).body;
  const replace = (id: string, body: object, headers = {}) => call('POST', `/v1/keys/${id}/replace`, body, headers);
  const refused = (id: string, body: object) => call<Problem>('POST', `/v1/keys/${id}/replace`, body);
  const revisions = async (id: string) => (await call<Page<Revision>>('GET', `/v1/keys/${id}/revisions`)).body.items;
  const events = async (id: string) => (await call<Page<Event>>('GET', `/v1/keys/${id}/events`)).body.items;
  const owned = async (id: string) => {
    const owners: string[] = [];
    for (const keyId of await allKeyIds(kms)) if ((await tags(kms, keyId))['keyward:id'] === id) owners.push(keyId);
    return owners;
  };
  const lose = async (keyId: string | null) => {
    await kms.send(new ScheduleKeyDeletionCommand({ KeyId: keyId ?? '', PendingWindowInDays: 7 }));
    await control.advanceClock(8 * 86_400);
  };
  const untilLost = (id: string) =>
    eventually('KMS is known to have lost it', async () => {
      const key = await get(id);
      return key.status.state === 'failed' && key;
    });

  t.test('makes a new KMS key and schedules the deletion of the old one, as the plan said', async (t) => {
    const old = await create({ description: 'd', tags: { a: '1' }, deletion_window_in_days: 11, is_enabled: false });
    const body = { ...ecc, description: 'new', deletion_window_in_days: 20 };
    const { body: plan } = await call<Plan>('POST', `/v1/keys/${old.id}/plan`, body);
    await control.clear();
    const { status, body: key } = await replace(old.id, body);
    t.equal(status, 200);
    t.not(key.key_id, old.key_id);
    t.match(key, { id: old.id, ...body, tags: { a: '1' }, status: { state: 'in_sync', generation: 2, error: null } });
    t.match(await metadata(kms, key.key_id ?? ''), { KeySpec: 'ECC_NIST_P256', KeyState: 'Disabled' });
    t.match(await metadata(kms, old.key_id ?? ''), { KeyState: 'PendingDeletion' });
    const calls = await control.calls();
    const filled = JSON.stringify(plan.steps).replaceAll('<key_id>', key.key_id ?? '');
    t.match(calls, JSON.parse(filled.replaceAll(/"field":[^,}]+,?/g, '').replaceAll(',}', '}')));
    t.equal(calls.length, plan.steps.length);
    const [revision] = await revisions(old.id);
    t.match(revision, { origin: 'replace', outcome: 'held' });
    t.match(revision?.changes, { key_id: { before: old.key_id, after: key.key_id }, arn: { before: old.arn } });
    t.match(
      (await events(old.id)).filter(({ type }) => type === 'key.replaced'),
      [{ actor: 'anonymous', before: { key_id: old.key_id }, after: { key_id: key.key_id } }],
    );
    t.match(
      (await events(old.id)).find(({ data }) => data['operation'] === 'ScheduleKeyDeletion'),
      { data: { parameters: { KeyId: old.key_id, PendingWindowInDays: 11 }, outcome: 'done' } },
    );
    t.same(await call('POST', `/v1/keys/${old.id}/refresh`).then(({ body }) => body.status.drift), []);
  });

  t.test('the key lives on under its id: changed, replaced again, rolled back only where that can be', async (t) => {
    const { id } = await create();
    t.equal((await replace(id, ecc)).status, 200);
    t.equal((await call('PATCH', `/v1/keys/${id}`, { description: 'b' })).status, 200);
    t.equal((await replace(id, { ...ecc, customer_master_key_spec: 'ECC_NIST_P384' })).status, 200);
    const back = await call<Problem>('POST', `/v1/keys/${id}/rollback`, { generation: 1 });
    t.equal(back.status, 422);
    t.match(back.body.errors?.[0], { pointer: '/generation', detail: /replacement is needed/ });
    t.equal((await owned(id)).length, 3);
    t.equal((await call('DELETE', `/v1/keys/${id}`)).status, 202);
  });

  t.test('refused where it must be, and nothing is changed', async (t) => {
    const { id, key_id } = await create({ deletion_protection: true });
    t.equal((await refused(id, ecc)).status, 409);
    t.equal((await refused(id, { ...ecc, deletion_protection: false })).status, 409);
    await call('PATCH', `/v1/keys/${id}`, { deletion_protection: false });
    await control.clear();
    t.match((await refused(id, { description: 'x' })).body, {
      status: 422,
      errors: [{ detail: /PATCH does the rest/ }],
    });
    t.equal((await refused(id, { customer_master_key_spec: 'HMAC_256' })).status, 422);
    t.equal((await refused(id, { ...ecc, enable_key_rotation: true })).status, 422);
    t.equal((await refused(id, { provider: 'elsewhere' })).status, 422);
    t.equal((await replace(id, ecc, { 'if-match': '"1"' })).status, 412);
    t.equal((await replace('01980e6c-0000-7000-8000-000000000000', ecc)).status, 404);
    t.same(await control.calls(), []);
    t.match(await get(id), { key_id, status: { generation: 2, state: 'in_sync' } });
    await call('DELETE', `/v1/keys/${id}`);
    t.equal((await refused(id, ecc)).status, 409);
  });

  t.test('a new key that KMS refuses leaves the old one as it was', async (t) => {
    const old = await create({ description: 'a', tags: { a: '1' } });
    await control.fault({ operation: 'CreateKey', kind: 'error', type: 'LimitExceededException', message: 'full' });
    const { status, body } = await refused(old.id, { ...ecc, description: 'b' });
    t.equal(status, 422);
    t.match(body.kms_error, { code: 'LimitExceededException', operation: 'CreateKey' });
    const key = await get(old.id);
    t.match(key, { key_id: old.key_id, arn: old.arn, description: 'a', customer_master_key_spec: 'SYMMETRIC_DEFAULT' });
    t.equal(key.status.state, 'in_sync');
    t.match(await metadata(kms, old.key_id ?? ''), { KeyState: 'Enabled', Description: 'a' });
    t.same(await owned(old.id), [old.key_id]);
    t.equal((await replace(old.id, ecc)).status, 200, 'and it can be tried again');
  });

  t.test('a refusal after the new key was made gives the old one back, and the new one is deleted', async (t) => {
    const old = await create({ is_enabled: false });
    await control.fault({ operation: 'DisableKey', kind: 'error', type: 'ValidationException', message: 'no' });
    t.equal((await refused(old.id, ecc)).status, 422);
    t.match(await get(old.id), { key_id: old.key_id, customer_master_key_spec: 'SYMMETRIC_DEFAULT' });
    t.match(await metadata(kms, old.key_id ?? ''), { KeyState: 'Disabled' });
    const [stray, ...more] = (await owned(old.id)).filter((keyId) => keyId !== old.key_id);
    t.same(more, []);
    await eventually('scheduled', async () => (await metadata(kms, stray ?? '')).KeyState === 'PendingDeletion');
    t.match((await get(old.id)).status, { state: 'in_sync' });
  });

  t.test('a CreateKey without an answer ends in one new key, and never in the old one', async (t) => {
    const old = await create();
    await control.fault({ operation: 'CreateKey', kind: 'reset_after_effect' });
    await replace(old.id, ecc, { prefer: 'respond-async' });
    const key = await eventually('replaced', async () => {
      const current = await get(old.id);
      return current.status.state === 'in_sync' && current.status.generation === 2 && current;
    });
    t.not(key.key_id, old.key_id);
    t.equal((await owned(old.id)).length, 2);
    await eventually('scheduled', async () => (await metadata(kms, old.key_id ?? '')).KeyState === 'PendingDeletion');
  });

  t.test('a deletion that KMS refuses is told, and tried again', async (t) => {
    const old = await create();
    const denied = { kind: 'error', type: 'AccessDeniedException', message: 'not allowed' };
    await control.fault({ operation: 'ScheduleKeyDeletion', ...denied });
    const { status, body } = await replace(old.id, ecc);
    t.equal(status, 202);
    t.match(body.status, { state: 'in_sync', error: { code: 'AccessDeniedException', retryable: true } });
    t.match(body.status.error?.message, old.arn);
    t.match(await metadata(kms, old.key_id ?? ''), { KeyState: 'Enabled' });
    t.equal((await call('POST', `/v1/keys/${old.id}/sync`)).body.status.error, null);
    t.match(await metadata(kms, old.key_id ?? ''), { KeyState: 'PendingDeletion' });
  });

  t.test('a lost answer to the deletion is no reason to schedule it twice', async (t) => {
    const old = await create();
    await control.clear();
    await control.fault({ operation: 'ScheduleKeyDeletion', kind: 'reset_after_effect' });
    await replace(old.id, ecc);
    await eventually('settled', async () => (await get(old.id)).status.error === null);
    t.match(await metadata(kms, old.key_id ?? ''), { KeyState: 'PendingDeletion' });
    const scheduled = (await control.calls()).filter(({ operation }) => operation === 'ScheduleKeyDeletion');
    t.equal(scheduled.length, 1);
  });

  t.test('while a replacement is under way, no second one, no deletion and no release', async (t) => {
    const { id } = await create();
    await control.fault({ operation: 'CreateKey', kind: 'throttle', times: 4 });
    await replace(id, ecc, { prefer: 'respond-async' });
    t.equal((await refused(id, { ...ecc, customer_master_key_spec: 'ECC_NIST_P384' })).status, 409);
    t.equal((await call('DELETE', `/v1/keys/${id}`)).status, 409);
    t.equal((await call('POST', `/v1/keys/${id}/release`)).status, 409);
    const { status, body } = await call('PATCH', `/v1/keys/${id}`, { description: 'later' }, { prefer: 'wait=60' });
    t.equal(status, 200);
    t.match(body, { description: 'later', customer_master_key_spec: 'ECC_NIST_P256', status: { generation: 3 } });
    const outcomes = (await revisions(id)).map(({ outcome }) => outcome);
    t.same(outcomes, ['held', 'superseded', 'held']);
    await eventually('two keys', async () => (await owned(id)).length === 2);
  });

  t.test('a former key is neither unmanaged nor imported', async (t) => {
    const old = await create();
    await replace(old.id, ecc);
    await sweepUnmanagedKeys(services);
    const { body } = await call<{ items: { key_id: string }[] }>('GET', '/v1/unmanaged-keys?limit=200');
    t.notOk(body.items.some(({ key_id }) => key_id === old.key_id));
    t.not((await call('POST', '/v1/keys/import', { key_id: old.key_id })).status, 201);
  });

  t.test('a former key that somebody wants back becomes a record of its own', async (t) => {
    const old = await create({ description: 'wanted back' });
    const { body: key } = await replace(old.id, ecc);
    const KeyId = old.key_id ?? '';
    const importIt = () => call<Key & Problem>('POST', '/v1/keys/import', { key_id: KeyId });
    t.match((await importIt()).body, { status: 422, errors: [{ detail: /cancel the deletion, then import it/ }] });
    await kms.send(new CancelKeyDeletionCommand({ KeyId }));
    const { status, body: back } = await importIt();
    t.equal(status, 201, JSON.stringify(back));
    t.match(back, { key_id: KeyId, description: 'wanted back', status: { state: 'in_sync' } });
    t.not(back.id, key.id);
    t.same(await owned(back.id), [KeyId]);
    t.same(await owned(key.id), [key.key_id]);
    t.match((await call('POST', `/v1/keys/${key.id}/sync`)).body, { key_id: key.key_id, status: { state: 'in_sync' } });
    t.equal((await call('DELETE', `/v1/keys/${back.id}`)).status, 202, 'and is deleted as one');
  });

  t.test('a key that is gone for good is made anew on demand only, and what that means is said', async (t) => {
    const old = await create({ description: 'a', tags: { a: '1' } });
    t.equal((await call('POST', `/v1/keys/${old.id}/recreate`)).status, 409, 'KMS has it');
    await lose(old.key_id);
    t.equal((await call('POST', `/v1/keys/${old.id}/recreate`)).status, 409, 'nobody has noticed yet');
    await call('POST', `/v1/keys/${old.id}/refresh`);
    t.equal((await call('POST', `/v1/keys/${old.id}/recreate`)).status, 409, 'one answer proves nothing');
    t.match(await untilLost(old.id), {
      key_id: old.key_id,
      status: { state: 'failed', error: { code: 'NotFoundException' } },
    });
    t.equal((await refused(old.id, ecc)).status, 409);
    t.same(await owned(old.id), []);
    const { status, headers, body } = await call('POST', `/v1/keys/${old.id}/recreate`);
    t.equal(status, 200);
    t.match(headers.get('keyward-warning'), /cannot be decrypted/);
    t.match(body, { description: 'a', tags: { a: '1' }, status: { state: 'in_sync', error: null } });
    t.same(await owned(old.id), [body.key_id]);
    t.not(body.key_id, old.key_id);
    t.match((await revisions(old.id))[0], {
      origin: 'recreate',
      changes: { key_id: { before: old.key_id, after: body.key_id } },
    });
    t.match(
      (await events(old.id)).find(({ type }) => type === 'key.recreated'),
      { data: { warning: /can't be decrypted/ } },
    );
    t.equal((await call('POST', `/v1/keys/${old.id}/recreate`)).status, 409);
  });

  t.test('a change of a key that is gone is taken back whole', async (t) => {
    const { id, key_id } = await create({ description: 'a', tags: { a: '1' } });
    await lose(key_id);
    await call('POST', `/v1/keys/${id}/refresh`);
    await untilLost(id);
    for (const refusals of [1, 2]) {
      const refusal = await call<Problem>('PATCH', `/v1/keys/${id}`, { description: 'b', tags: { a: '2' } });
      t.match(refusal, { status: 422, body: { kms_error: { code: 'NotFoundException' } } });
      t.match(await get(id), { description: 'a', tags: { a: '1' }, status: { state: 'failed', key_state: null } });
      t.equal((await revisions(id)).filter(({ origin }) => origin === 'revert').length, refusals);
    }
    t.match((await call('POST', `/v1/keys/${id}/recreate`)).body, { description: 'a', status: { state: 'in_sync' } });
  });

  t.test('drift ends with the KMS key that it was in, and a lost key has neither drift nor rotations', async (t) => {
    const driftEvents = async (id: string) =>
      (await events(id)).filter(({ type }) => type.startsWith('drift.')).map(({ type }) => type);
    const drifted = async () => {
      const key = await create({ drift_policy: 'report', description: 'mine' });
      await kms.send(new UpdateKeyDescriptionCommand({ KeyId: key.key_id ?? '', Description: 'theirs' }));
      t.match((await call('POST', `/v1/keys/${key.id}/refresh`)).body.status.drift, [{ field: 'description' }]);
      return key;
    };
    const replaced = await drifted();
    t.match((await replace(replaced.id, ecc)).body.status, { state: 'in_sync', drift: [] });
    t.same(await driftEvents(replaced.id), ['drift.resolved', 'drift.detected']);

    const { id, key_id } = await drifted();
    await lose(key_id);
    // A key that was made a moment ago is not taken for lost before it has settled.
    const rotated = await call<Problem>('POST', `/v1/keys/${id}/rotate`, undefined, { prefer: 'wait=60' });
    t.equal(rotated.status, 422, 'nobody had noticed yet');
    t.match(rotated.body, { kms_error: { code: 'NotFoundException' } });
    t.match((await get(id)).status, { state: 'failed', key_state: null, drift: [], deletion_date: null });
    t.same(await driftEvents(id), ['drift.resolved', 'drift.detected']);
    for (const [method, action] of [
      ['POST', 'rotate'],
      ['GET', 'rotations'],
    ] as const) {
      t.equal((await call<Problem>(method, `/v1/keys/${id}/${action}`)).status, 409, action);
    }
    t.equal((await call('POST', `/v1/keys/${id}/recreate`)).status, 200);
    t.same((await call<Page<object>>('GET', `/v1/keys/${id}/rotations`)).body.items, [], 'no rotation waited for it');
  });

  t.test('a recreation that KMS refuses leaves the key failed, and can be asked for again', async (t) => {
    const old = await create();
    await lose(old.key_id);
    await call('POST', `/v1/keys/${old.id}/refresh`);
    await untilLost(old.id);
    await control.fault({ operation: 'CreateKey', kind: 'error', type: 'LimitExceededException', message: 'full' });
    t.equal((await call('POST', `/v1/keys/${old.id}/recreate`)).status, 422);
    const failed = await eventually('failed again', async () => {
      const key = await get(old.id);
      return key.status.state === 'failed' && key;
    });
    t.equal(failed.key_id, old.key_id);
    t.equal((await call('POST', `/v1/keys/${old.id}/recreate`)).status, 200);
  });

  t.test('a policy that was left alone comes back with the old key, whatever was written to it before', async (t) => {
    const old = await create();
    const inPlace = () => policy(kms, old.key_id ?? '');
    const inForce = await inPlace();
    await control.fault({ operation: 'TagResource', kind: 'throttle', times: null });
    const change = { policy: ownPolicy('After'), tags: { a: '1' } };
    await call('PATCH', `/v1/keys/${old.id}`, change, { prefer: 'respond-async' });
    await eventually('half of it is done', async () => !isDeepStrictEqual(await inPlace(), inForce));
    await control.fault({ operation: 'CreateKey', kind: 'error', type: 'LimitExceededException', message: 'full' });
    t.equal((await replace(old.id, ecc, { prefer: 'wait=30' })).status, 422);
    await control.clearFaults();
    await eventually('the old key is as it was', async () => (await get(old.id)).status.state === 'in_sync');
    t.same(await inPlace(), inForce);
    t.match(await get(old.id), { key_id: old.key_id, tags: {}, status: { generation: 4 } });
  });
});

import { CreateKeyCommand, type KMSClient, TagResourceCommand } from '@aws-sdk/client-kms';
import { test } from 'tap';
import type { Event } from '../../src/schemas/history.ts';
import { sweepUnmanagedKeys } from '../../src/services/unmanaged/sweep.ts';
import { metadata } from '../support/kms-truth.ts';
import { eventually, type Problem, startService } from '../support/service.ts';

const replacement = { multi_region: true, enable_key_rotation: true };

async function foreignKey(kms: KMSClient, owner?: string): Promise<string> {
  const Tags = owner === undefined ? [] : [{ TagKey: 'keyward:id', TagValue: owner }];
  const { KeyMetadata } = await kms.send(new CreateKeyCommand({ Description: 'theirs', Tags }));
  return KeyMetadata?.KeyId ?? '';
}

test('a key that only its ownership tag tells to be of a record is never scheduled for deletion', async (t) => {
  const service = await startService(t, { WRITE_DEADLINE_SECONDS: '6', SETTLE_SECONDS: '0' });
  const { call, control, kms, services } = service;
  const untouched = async (keyId: string) =>
    t.match(await metadata(kms, keyId), { KeyState: 'Enabled', Description: 'theirs' });
  const untilInState = (id: string, state: string) =>
    eventually(`${id} is ${state}`, async () => {
      const { body } = await call('GET', `/v1/keys/${id}`);
      return body.status.state === state && body;
    });
  // For good: nothing that time could heal.
  const refuses = (operation: string, times: number | null = null) =>
    control.fault({ operation, kind: 'error', type: 'UnsupportedOperationException', message: 'Never.', times });
  const untilFired = (lost: string) =>
    eventually('the answer is lost', async () => {
      const { body } = await control.faults();
      return body.faults.some(({ kind, fired }) => kind === lost && fired === 1);
    });
  /** The next CreateKey gets no answer and makes nothing; meanwhile somebody makes a key with the record's tag. */
  const impostorFor = async (ask: () => Promise<{ id: string }>) => {
    await control.fault({ operation: 'CreateKey', kind: 'reset_before_effect' });
    const { id } = await ask();
    await untilFired('reset_before_effect');
    return foreignKey(kms, id);
  };

  t.test('when a sweep sees that it names a record without a key', async (t) => {
    await refuses('CreateKey');
    const { body } = await call('POST', '/v1/keys', { enable_key_rotation: true }, { prefer: 'respond-async' });
    await untilInState(body.id, 'failed');
    await control.clearFaults();
    const keyId = await foreignKey(kms);
    await kms.send(new TagResourceCommand({ KeyId: keyId, Tags: [{ TagKey: 'keyward:id', TagValue: body.id }] }));
    await refuses('EnableKeyRotation');
    await sweepUnmanagedKeys(services);
    const { body: found } = await call<{ items: Event[] }>('GET', `/v1/keys/${body.id}/events?limit=1`);
    t.match(found.items, [{ type: 'unmanaged_key.found' }]);
    t.match(await untilInState(body.id, 'failed'), { key_id: null });
    await untouched(keyId);
    await control.clearFaults();
  });

  t.test('when the record is deleted that its tag names', async (t) => {
    await refuses('CreateKey');
    const { body } = await call('POST', '/v1/keys', {}, { prefer: 'respond-async' });
    await untilInState(body.id, 'failed');
    await control.clearFaults();
    const keyId = await foreignKey(kms, body.id);
    for (const attempt of ['first', 'second']) {
      const { status, body: problem } = await call<Problem>('DELETE', `/v1/keys/${body.id}`);
      t.equal(status, 409, attempt);
      t.match(problem, { type: '/problems/conflict', id: body.id, detail: keyId });
    }
    t.match((await call('GET', `/v1/keys/${body.id}`)).body.status.error, { code: 'KeyNotProven' });
    await untouched(keyId);
    await call('POST', `/v1/keys/${body.id}/resolve`, { key_id: keyId, is_mine: false });
    await eventually('the record goes', async () => (await call('GET', `/v1/keys/${body.id}`)).status === 404);
    await untouched(keyId);
  });

  t.test('but for one that an unanswered CreateKey of its record may have made', async (t) => {
    await control.fault({ operation: 'CreateKey', kind: 'reset_after_effect' });
    await control.fault({ operation: 'ListKeys', kind: 'throttle', times: 2 });
    const { body } = await call('POST', '/v1/keys', {}, { prefer: 'respond-async' });
    await untilFired('reset_after_effect');
    t.equal((await call('DELETE', `/v1/keys/${body.id}`, undefined, { prefer: 'wait=30' })).status, 202);
    const { key_id: keyId } = await untilInState(body.id, 'pending_deletion');
    const doomed = await eventually('its deletion is scheduled', async () => {
      const seen = (await call('GET', `/v1/keys/${body.id}`)).body;
      return seen.status.key_state === 'PendingDeletion' && seen;
    });
    t.equal((await metadata(kms, doomed.key_id ?? keyId ?? '')).KeyState, 'PendingDeletion');
  });

  t.test('when a search finds it and KMS then refuses the rest of the creation', async (t) => {
    await refuses('EnableKeyRotation');
    let id = '';
    const keyId = await impostorFor(async () => {
      const { body } = await call('POST', '/v1/keys', { enable_key_rotation: true }, { prefer: 'respond-async' });
      id = body.id;
      return body;
    });
    const failed = await untilInState(id, 'failed');
    t.match(failed, {
      key_id: keyId,
      status: { error: { code: 'UnsupportedOperationException', message: failed.arn } },
    });
    t.equal((await metadata(kms, keyId)).KeyState, 'Enabled');
    await control.clearFaults();
  });

  t.test('when it is taken for the new key of a replacement that KMS refuses', async (t) => {
    const { body: key } = await call('POST', '/v1/keys', {});
    await refuses('EnableKeyRotation');
    const keyId = await impostorFor(async () => {
      await call('POST', `/v1/keys/${key.id}/replace`, replacement, { prefer: 'respond-async' });
      return key;
    });
    const kept = await untilInState(key.id, 'in_sync');
    t.match(kept, { key_id: key.key_id, multi_region: false });
    const [stray] = await eventually('it is told', async () => {
      const { body } = await call<{ items: Event[] }>('GET', `/v1/keys/${key.id}/events?limit=5`);
      const found = body.items.filter(({ type }) => type === 'key.stray');
      return found.length > 0 && found;
    });
    t.match(stray?.data, { arn: `arn:aws:kms:us-east-1:111122223333:key/${keyId}`, arn_on_record: key.arn });
    t.equal((await metadata(kms, keyId)).KeyState, 'Enabled');
    await control.clearFaults();
  });

  t.test('while one that KMS answered CreateKey with is', async (t) => {
    await refuses('EnableKeyRotation');
    const { status, body } = await call('POST', '/v1/keys', { enable_key_rotation: true });
    t.equal(status, 422);
    const key = await eventually('its deletion is scheduled', async () => {
      const found = (await call('GET', `/v1/keys/${body.id}`)).body;
      return found.status.key_state === 'PendingDeletion' && found;
    });
    t.equal((await metadata(kms, key.key_id ?? '')).KeyState, 'PendingDeletion');
  });
});

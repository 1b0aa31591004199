import { CreateKeyCommand, ListResourceTagsCommand, UntagResourceCommand } from '@aws-sdk/client-kms';
import { test } from 'tap';
import type { Event } from '../../src/schemas/history.ts';
import { freezeAt } from '../support/frozen.ts';
import { allKeyIds, metadata } from '../support/kms-truth.ts';
import { eventually, type Problem, startService } from '../support/service.ts';

test('a key imported a moment after it was made, which KMS does not show to the next read, is not taken for deleted', async (t) => {
  const service = await startService(t, { SETTLE_SECONDS: '0' });
  const { call, kms, control } = service;
  const { KeyMetadata } = await kms.send(new CreateKeyCommand({}));
  const KeyId = KeyMetadata?.KeyId ?? '';
  const first = freezeAt(service, 'lease-taken');
  const { body: key } = await call('POST', '/v1/keys/import', { key_id: KeyId }, { prefer: 'respond-async' });
  await first.frozen;
  const notThere = { kind: 'error', type: 'NotFoundException', message: 'Key does not exist' };
  await control.fault({ operation: 'DescribeKey', ...notThere, times: 2 });
  const deleted = call('DELETE', `/v1/keys/${key.id}`);
  const get = async () => (await call('GET', `/v1/keys/${key.id}`)).body;
  await eventually('its deletion is asked for', async () => (await get()).status.generation === 2);
  first.wake();
  t.equal((await deleted).status, 202);
  t.match((await get()).status, { state: 'pending_deletion', key_state: 'PendingDeletion' });
  t.equal((await metadata(kms, KeyId)).KeyState, 'PendingDeletion');
});

test('a key that is imported while the answer of its CreateKey is still open ends as one record of each', async (t) => {
  const service = await startService(t, { WRITE_DEADLINE_SECONDS: '6', LEASE_SECONDS: '5', SETTLE_SECONDS: '0' });
  const { call, kms } = service;
  const open = freezeAt(service, 'after-send');
  const { body: first } = await call('POST', '/v1/keys', { description: 'first' }, { prefer: 'respond-async' });
  await open.frozen;
  const [KeyId = ''] = await allKeyIds(kms);
  const early = await call<Problem>('POST', '/v1/keys/import', { key_id: KeyId });
  t.match(early, { status: 409, body: { id: first.id } }, 'its ownership tag says whose it is');
  await kms.send(new UntagResourceCommand({ KeyId, TagKeys: ['keyward:id'] }));
  const { status, body: imported } = await call('POST', '/v1/keys/import', { key_id: KeyId });
  t.equal(status, 201, 'somebody took the tag away');
  open.wake();
  const made = await eventually('the first record has a key of its own', async () => {
    const { body } = await call('GET', `/v1/keys/${first.id}`);
    return body.status.state === 'in_sync' ? body : undefined;
  });
  t.not(made.key_id, KeyId);
  t.same((await allKeyIds(kms)).sort(), [KeyId, made.key_id].sort(), 'and no third was made');
  t.match((await call('GET', `/v1/keys/${imported.id}`)).body, { key_id: KeyId, status: { state: 'in_sync' } });
  const { Tags } = await kms.send(new ListResourceTagsCommand({ KeyId }));
  t.same(Tags, [{ TagKey: 'keyward:id', TagValue: imported.id }]);
  const { body: events } = await call<{ items: Event[] }>('GET', `/v1/keys/${first.id}/events`);
  const told = events.items.filter(({ type, data }) => type === 'key.stray' || data['operation'] === 'CreateKey');
  t.match(told, [
    { type: 'kms.write', data: { outcome: 'done' } },
    { type: 'key.stray', data: { arn: imported.arn, arn_on_record: null } },
    { type: 'kms.write', data: { outcome: 'done' } },
  ]);
});

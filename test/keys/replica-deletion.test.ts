import { DescribeKeyCommand, ReplicateKeyCommand, ScheduleKeyDeletionCommand } from '@aws-sdk/client-kms';
import { test } from 'tap';
import { addProvider } from '../support/providers.ts';
import { eventually, kmsClient, letDaysPass, startService, withMovedClock } from '../support/service.ts';

const day = 86_400;

test('the window of a multi-Region primary starts when its last replica is gone, and then KMS deletes it', async (t) => {
  const service = await startService(t, withMovedClock);
  const { call, kms, kmsUrl, control } = service;
  const europe = kmsClient(kmsUrl, '111122223333', 'eu-west-1');
  t.teardown(() => europe.destroy());
  const { body: key } = await call('POST', '/v1/keys', { multi_region: true });
  const KeyId = key.key_id ?? '';
  await kms.send(new ReplicateKeyCommand({ KeyId, ReplicaRegion: 'eu-west-1' }));
  const { body: waiting } = await call('DELETE', `/v1/keys/${key.id}?deletion_window_in_days=10`);
  t.match(waiting.status, { state: 'pending_deletion', key_state: 'PendingReplicaDeletion', deletion_date: null });

  await europe.send(new ScheduleKeyDeletionCommand({ KeyId, PendingWindowInDays: 7 }));
  await control.advanceClock(8 * day);
  const { body: counting } = await call('POST', `/v1/keys/${key.id}/refresh`);
  t.match(counting.status, { state: 'pending_deletion', key_state: 'PendingDeletion' });
  const { KeyMetadata } = await kms.send(new DescribeKeyCommand({ KeyId }));
  t.equal(counting.status.deletion_date, KeyMetadata?.DeletionDate?.toISOString());

  await letDaysPass(service, 20);
  await call('POST', `/v1/keys/${key.id}/refresh`);
  const deleted = await eventually('it is deleted', async () => {
    const { body } = await call('GET', `/v1/keys/${key.id}`);
    return body.status.state === 'deleted' && body;
  });
  t.match(deleted.status, { state: 'deleted', key_state: null });
  t.equal((await call('GET', `/v1/keys/${key.id}`)).status, 200, 'a deleted key can still be read');
});

test('a replica that is made anew has the ARN of the one that KMS has deleted, and is a record of its own', async (t) => {
  const service = await startService(t, withMovedClock);
  const { call } = service;
  await addProvider(call, { name: 'eu', region: 'eu-west-1' });
  const { body: primary } = await call('POST', '/v1/keys', { multi_region: true });
  const replicate = () => call('POST', `/v1/keys/${primary.id}/replicas`, { provider: 'eu' });
  const { body: first } = await replicate();
  await call('DELETE', `/v1/keys/${first.id}?deletion_window_in_days=7`);
  await letDaysPass(service, 8);
  await eventually('KMS has deleted it', async () => {
    await call('POST', `/v1/keys/${first.id}/refresh`);
    return (await call('GET', `/v1/keys/${first.id}`)).body.status.state === 'deleted';
  });
  const { status, body: second } = await replicate();
  t.equal(status, 201);
  t.match(second, { arn: first.arn, status: { state: 'in_sync' } });
  t.not(second.id, first.id);
  t.match((await call('GET', `/v1/keys/${first.id}`)).body, { arn: first.arn, status: { state: 'deleted' } });
  t.equal((await call('GET', `/v1/keys/lookup?key=${first.arn}`)).body.id, second.id, 'its name is that of the living');
  const { body: promoted } = await call('POST', `/v1/keys/${second.id}/promote`);
  t.match(promoted, { id: second.id, replica_of: null, status: { replicas: [{ id: primary.id }] } });
  t.equal((await call('GET', `/v1/keys/${primary.id}`)).body.replica_of, second.id);
  t.equal((await call('GET', `/v1/keys/${first.id}`)).body.status.state, 'deleted');
});

import { test } from 'tap';
import { allKeyIds, metadata } from '../support/kms-truth.ts';
import { type Problem, startService } from '../support/service.ts';

type Service = Awaited<ReturnType<typeof startService>>;

const patiently = { prefer: 'wait=60' };

async function countOf({ control }: Service, operation: string): Promise<number> {
  return (await control.calls({ reads: true })).filter((call) => call.operation === operation).length;
}

test('at a KMS that drops the tags of CreateKey one key is made, and no more', async (t) => {
  const service = await startService(t, { SETTLE_SECONDS: '1' });
  const { call, kms, control } = service;
  await control.settings({ ignored_parameters: { CreateKey: ['Tags'] } });
  const answers = await Promise.all(
    ['a', 'b', 'c'].map((description) => call<Problem>('POST', '/v1/keys', { description }, patiently)),
  );
  for (const { status, body } of answers) {
    t.equal(status, 422);
    t.equal(body.kms_error?.code, 'TagsNotKept');
  }
  t.equal(await countOf(service, 'CreateKey'), 1, 'the others wait until its tags are known to be lost');
  const [keyId = ''] = await allKeyIds(kms);
  t.equal((await metadata(kms, keyId)).KeyState, 'Enabled', 'it is left');
  const { body: list } = await call<{ items: { id: string; key_id: string; status: object }[] }>('GET', '/v1/keys');
  t.match(list.items, [
    {
      key_id: keyId,
      status: { state: 'failed', error: { code: 'TagsNotKept', retryable: false, message: /keyward:id/ } },
    },
  ]);
  t.equal(list.items.length, 1, 'the record of the key that was made stays, and no other');

  const again = await call<Problem>('POST', '/v1/keys', {}, patiently);
  t.equal(again.status, 422);
  t.match(again.body.kms_error, { code: 'TagsNotKept', message: /None is made there/ });
  await call('PATCH', `/v1/keys/${list.items[0]?.id}`, { description: 'mine' }, patiently);
  t.equal(await countOf(service, 'CreateKey'), 1);
  t.equal(await countOf(service, 'TagResource'), 0, 'a tag that was put there later would prove nothing');
  const { status } = await call('DELETE', `/v1/keys/${list.items[0]?.id}`, undefined, patiently);
  t.equal(status, 202, 'its owner can have it deleted');
});

test('that tags are kept is seen once, and tags that show late are waited for', async (t) => {
  const service = await startService(t, { SETTLE_SECONDS: '2' });
  const { call, control } = service;
  const unseen = { operation: 'ListResourceTags', kind: 'changed_field', member: 'Tags', value: [] };
  await control.fault({ ...unseen, times: 2 });
  const made = await Promise.all(
    ['a', 'b', 'c'].map((description) => call('POST', '/v1/keys', { description }, patiently)),
  );
  t.same(
    made.map(({ status }) => status),
    [201, 201, 201],
  );
  t.equal(await countOf(service, 'CreateKey'), 3);
  await control.clear();
  await call('POST', '/v1/keys', { description: 'd' });
  t.equal(await countOf(service, 'ListResourceTags'), 0);
});

test('what the answer of CreateKey does not say is read', async (t) => {
  const service = await startService(t);
  const { call, control } = service;
  await call('POST', '/v1/keys', {});
  const untold = (member: string) => control.fault({ operation: 'CreateKey', kind: 'dropped_field', member });
  for (const member of ['KeyMetadata.KeyState', 'KeyMetadata.MultiRegion']) {
    await untold(member);
    await control.clear();
    const { status, body } = await call('POST', '/v1/keys', { multi_region: true });
    t.equal(status, 201, member);
    t.match(body, { multi_region: true, status: { state: 'in_sync', key_state: 'Enabled' } });
    t.equal(await countOf(service, 'DescribeKey'), 1);
    t.equal(await countOf(service, 'CreateKey'), 1);
    t.equal(await countOf(service, 'ListKeys'), 0, 'it is not looked for');
  }
  await untold('KeyMetadata.KeyUsage');
  const value = 'KEY_AGREEMENT';
  await control.fault({ operation: 'DescribeKey', kind: 'changed_field', member: 'KeyMetadata.KeyUsage', value });
  const { status, body } = await call<Problem>('POST', '/v1/keys', {});
  t.equal(status, 422);
  t.match(body.kms_error, { code: 'ImmutableFieldDiffers', message: /key_usage is "KEY_AGREEMENT"/ });
});

test('the state of a key whose deletion is scheduled or cancelled is the one that KMS tells', async (t) => {
  const { call, kms, control, services } = await startService(t, { SETTLE_SECONDS: '0' });
  const { body: key } = await call('POST', '/v1/keys', { is_enabled: false });
  const { arn, key_id } = key;
  await control.fault({ operation: 'ScheduleKeyDeletion', kind: 'dropped_field', member: 'DeletionDate' });
  const { body: doomed } = await call('DELETE', `/v1/keys/${key.id}`);
  const date = (await metadata(kms, key_id ?? '')).DeletionDate?.toISOString();
  t.match(doomed.status, { state: 'pending_deletion', key_state: 'PendingDeletion', deletion_date: date });

  // A KMS that leaves the key enabled, as some do.
  const { failurePoints } = services;
  const { pass } = failurePoints;
  failurePoints.pass = async (point) => {
    if (point === 'after-send') {
      failurePoints.pass = pass;
      await control.changeKey(arn, { enabled: true });
    }
    return pass(point);
  };
  await control.clear();
  const { body: restored } = await call('POST', `/v1/keys/${key.id}/restore`);
  t.match(restored.status, { state: 'in_sync', key_state: 'Disabled' });
  t.equal((await metadata(kms, key_id ?? '')).KeyState, 'Disabled');
  t.same(
    (await control.calls()).map(({ operation }) => operation),
    ['CancelKeyDeletion', 'DisableKey'],
  );
});

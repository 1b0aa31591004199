import {
  CreateKeyCommand,
  DescribeKeyCommand,
  EnableKeyRotationCommand,
  ReplicateKeyCommand,
  TagResourceCommand,
  UpdateKeyDescriptionCommand,
  UpdatePrimaryRegionCommand,
} from '@aws-sdk/client-kms';
import { test } from 'tap';
import type { Key } from '../../src/schemas/key.ts';
import { allKeyIds, metadata, ownPolicy, policy, rotation, tags } from '../support/kms-truth.ts';
import { startWithRegions } from '../support/regions.ts';
import { eventually, letDaysPass, type Problem } from '../support/service.ts';

const wait = { prefer: 'wait=30' };

test('a multi-Region key with two replicas: each is a key of its own, at its own Region', async (t) => {
  const { call, kms, eu, ap, control } = await startWithRegions(t);
  const { body: primary } = await call('POST', '/v1/keys', { multi_region: true, description: 'first' });
  const KeyId = primary.key_id ?? '';
  const path = `/v1/keys/${primary.id}`;
  const body = {
    provider: 'eu',
    description: 'Europe',
    tags: { place: 'eu' },
    policy: ownPolicy('Eu'),
    is_enabled: false,
  };
  const made = await call('POST', `${path}/replicas`, body, { ...wait, 'idempotency-key': 'eu-1' });
  t.equal(made.status, 201);
  const replica = made.body;
  t.equal(made.headers.get('location'), `/v1/keys/${replica.id}`);
  t.match(replica, { key_id: KeyId, provider: 'eu', replica_of: primary.id, multi_region: true, is_enabled: false });
  t.match(replica.status, { state: 'in_sync', key_state: 'Disabled', primary_arn: primary.arn, replicas: [] });
  t.match(await metadata(eu, KeyId), {
    Arn: replica.arn ?? '',
    Description: 'Europe',
    KeyState: 'Disabled',
    MultiRegionConfiguration: { MultiRegionKeyType: 'REPLICA', PrimaryKey: { Arn: primary.arn ?? '' } },
  });
  t.same(await tags(eu, KeyId), { place: 'eu', 'keyward:id': replica.id });
  t.same(await policy(eu, KeyId), ownPolicy('Eu'));
  t.equal((await metadata(kms, KeyId)).Description, 'first');

  const again = await call('POST', `${path}/replicas`, body, { ...wait, 'idempotency-key': 'eu-1' });
  t.match(again, { status: 201, body: { id: replica.id } }, 'a repeat makes no second one');
  const other = await call<Problem>('POST', `${path}/replicas`, { provider: 'eu' });
  t.match(other, { status: 409, body: { id: replica.id, detail: /eu-west-1 already/ } });

  const { body: second } = await call('POST', `${path}/replicas`, { provider: 'ap', is_enabled: null }, wait);
  t.match(second.status, { state: 'in_sync', key_state: 'Enabled' });
  t.match(await metadata(ap, KeyId), { Arn: second.arn ?? '', KeyState: 'Enabled' });

  const before = await call('GET', path);
  await call('POST', `${path}/refresh`);
  const { body: seen, headers } = await call('GET', path);
  t.same(
    seen.status.replicas.map(({ id, provider, arn }) => ({ id, provider, arn })),
    [
      { id: replica.id, provider: 'eu', arn: replica.arn },
      { id: second.id, provider: 'ap', arn: second.arn },
    ],
  );
  t.same(before.body.status.replicas, seen.status.replicas, 'before KMS is asked, too');
  const { body: hcl } = await call<string>('GET', `/v1/keys/${replica.id}/terraform`);
  t.match(hcl, /resource "aws_kms_replica_key" "\w+" \{\n\s+provider\s+= aws\.\w+\n\s+primary_key_arn\s+= "arn/);
  t.notMatch(hcl, /multi_region|is_enabled|"aws_kms_key"/);
  const listed = await call<{ items: Key[] }>('GET', `/v1/keys?replica_of=${primary.id}`);
  t.same(listed.body.items.map(({ id }) => id).sort(), [replica.id, second.id].sort());
  t.equal(seen.replica_of, null);

  await call('PATCH', `/v1/keys/${replica.id}`, { is_enabled: true, description: 'EU', tags: { b: '2' } });
  t.match(await metadata(eu, KeyId), { KeyState: 'Enabled', Description: 'EU' });
  t.same(await tags(eu, KeyId), { place: 'eu', b: '2', 'keyward:id': replica.id });
  t.equal((await metadata(ap, KeyId)).Description, '', 'the other one is as it was');
  const current = await call('GET', path, undefined, { 'if-none-match': headers.get('etag') ?? '' });
  t.equal(current.status, 200, 'what is shown of a replica moves the ETag of its primary');

  await eu.send(new UpdateKeyDescriptionCommand({ KeyId, Description: 'theirs' }));
  await call('POST', `/v1/keys/${replica.id}/sync`);
  t.equal((await metadata(eu, KeyId)).Description, 'EU', 'drift is put right in its Region');
  const events = await call<{ items: { type: string }[] }>('GET', `/v1/keys/${replica.id}/events`);
  t.ok(events.body.items.some(({ type }) => type === 'drift.detected'));

  t.equal((await control.calls()).filter(({ operation }) => operation === 'ReplicateKey').length, 2);
  for (const client of [kms, eu, ap]) t.same(await allKeyIds(client), [KeyId]);
});

test('what only a primary has is shown of its replicas, and refused there with its ARN', async (t) => {
  const { call, eu, control } = await startWithRegions(t);
  const rotating = { enable_key_rotation: true, rotation_period_in_days: 200 };
  const { body: primary } = await call('POST', '/v1/keys', { multi_region: true, ...rotating });
  const { body: replica } = await call('POST', `/v1/keys/${primary.id}/replicas`, { provider: 'eu' }, wait);
  const path = `/v1/keys/${replica.id}`;
  t.match(replica, rotating, 'its rotation is that of its primary');
  await control.clear();
  for (const [pointer, change] of Object.entries({
    '/enable_key_rotation': { enable_key_rotation: false },
    '/rotation_period_in_days': { rotation_period_in_days: 365 },
    '/key_usage': { key_usage: 'SIGN_VERIFY' },
    '/multi_region': { multi_region: false },
  })) {
    const { status, body } = await call<Problem>('PATCH', path, change);
    t.match(
      { status, body },
      { status: 422, body: { errors: [{ pointer, detail: new RegExp(`${primary.arn}`) }] } },
      pointer,
    );
  }
  for (const action of ['rotate', 'replace', 'recreate']) {
    const { status, body } = await call<Problem>('POST', `${path}/${action}`, action === 'replace' ? {} : undefined);
    t.match({ status, body }, { status: 409, body: { detail: new RegExp(`${primary.arn}`) } }, action);
  }
  const ofReplicated = await call<Problem>('POST', `/v1/keys/${primary.id}/replace`, { key_usage: 'SIGN_VERIFY' });
  t.match(
    ofReplicated,
    { status: 409, body: { detail: new RegExp(`${replica.arn}`) } },
    'a key with replicas is not replaced',
  );
  t.same(await control.calls(), []);
  const { status, created_at, updated_at, id, arn, key_id, replica_of, tags_all, allowed_actions, ...whole } = replica;
  const put = await call('PUT', path, { ...whole, description: 'put' });
  t.equal(put.status, 200, 'it may be said as it is');
  t.equal((await metadata(eu, replica.key_id ?? '')).Description, 'put');
  t.equal((await call('PUT', path, { provider: 'eu', description: 'short' })).status, 200, 'or be left out');
  t.equal((await call('DELETE', path, undefined, wait)).status, 202);
  const restored = await call('POST', `${path}/restore`, undefined, wait);
  t.match(restored, { status: 200, body: { ...rotating, status: { state: 'in_sync', drift: [], error: null } } });
});

test('a replica is promoted, here and outside: all records of the family follow', async (t) => {
  const { call, kms, eu, ap, control } = await startWithRegions(t);
  const rotating = { enable_key_rotation: true, rotation_period_in_days: 200 };
  const { body: first } = await call('POST', '/v1/keys', { multi_region: true, ...rotating });
  const KeyId = first.key_id ?? '';
  const replica = async (provider: string) =>
    (await call('POST', `/v1/keys/${first.id}/replicas`, { provider }, wait)).body;
  const [second, third] = [await replica('eu'), await replica('ap')];
  const roles = async () => {
    const rows = await Promise.all(
      [first, second, third].map(async ({ id }) => (await call('GET', `/v1/keys/${id}`)).body),
    );
    return rows.map(({ replica_of }) => replica_of);
  };
  const settled = (keys: Key[]) =>
    eventually('all are in sync', async () => {
      const rows = await Promise.all(keys.map(async ({ id }) => (await call('GET', `/v1/keys/${id}`)).body));
      return rows.every(({ status }) => status.state === 'in_sync');
    });
  const isPrimaryIn = async (client: typeof kms) =>
    (await metadata(client, KeyId)).MultiRegionConfiguration?.MultiRegionKeyType === 'PRIMARY';

  t.match(await call('POST', `/v1/keys/${first.id}/promote`), { status: 409, body: { detail: /primary key already/ } });
  const promoted = await call('POST', `/v1/keys/${second.id}/promote`, undefined, { ...wait, 'idempotency-key': 'p' });
  t.match(promoted, { status: 200, body: { replica_of: null, ...rotating } });
  t.same(await roles(), [second.id, null, second.id]);
  t.same([await isPrimaryIn(kms), await isPrimaryIn(eu)], [false, true]);
  await settled([first, second, third]);
  t.match((await call('GET', `/v1/keys/${first.id}`)).body, rotating, 'rotation is that of the new primary');
  t.same(
    (await call('GET', `/v1/keys/${second.id}`)).body.status.replicas.map(({ id }) => id).sort(),
    [first.id, third.id].sort(),
  );
  const again = await call('POST', `/v1/keys/${second.id}/promote`, undefined, { ...wait, 'idempotency-key': 'p' });
  t.equal(again.status, 200, 'a repeat does nothing');
  await call('PATCH', `/v1/keys/${second.id}`, { rotation_period_in_days: 300 }, wait);
  t.equal((await rotation(eu, KeyId)).period, 300, 'what a primary alone has is now changed there');
  t.equal((await call('PATCH', `/v1/keys/${first.id}`, { rotation_period_in_days: 365 })).status, 422);

  // Somebody promotes the third one, in KMS.
  await eu.send(new UpdatePrimaryRegionCommand({ KeyId, PrimaryRegion: 'ap-south-1' }));
  await call('POST', `/v1/keys/${first.id}/refresh`);
  t.same(await roles(), [third.id, third.id, null], 'one look is enough for all');
  for (const { id } of [third, second]) await call('POST', `/v1/keys/${id}/refresh`);
  await settled([first, second, third]);
  t.same(await roles(), [third.id, third.id, null]);
  t.match((await call('GET', `/v1/keys/${third.id}`)).body, {
    enable_key_rotation: true,
    rotation_period_in_days: 300,
  });
  t.match(await rotation(ap, KeyId), { enabled: true, period: 300 });
  const types = async ({ id }: Key) => {
    const { body } = await call<{ items: { type: string; data: { role?: string; origin?: string } }[] }>(
      'GET',
      `/v1/keys/${id}/events`,
    );
    return body.items
      .filter(({ type }) => type === 'key.role_changed')
      .map(({ data }) => `${data.origin} ${data.role}`);
  };
  t.same(await types(first), ['promote replica']);
  t.same(await types(second), ['drift replica', 'promote primary']);
  t.same(await types(third), ['drift primary']);
  t.equal((await control.calls()).filter(({ operation }) => operation === 'UpdatePrimaryRegion').length, 2);

  await call('PATCH', `/v1/keys/${first.id}`, { is_enabled: false }, wait);
  t.match(await call('POST', `/v1/keys/${first.id}/promote`), { status: 409, body: { detail: /is Disabled/ } });
});

test('replicas made outside are imported, and linked to their primary whichever comes first', async (t) => {
  const { call, kms, eu, ap, control } = await startWithRegions(t);
  const { KeyMetadata } = await kms.send(new CreateKeyCommand({ MultiRegion: true, Description: 'outside' }));
  const KeyId = KeyMetadata?.KeyId ?? '';
  await kms.send(new EnableKeyRotationCommand({ KeyId, RotationPeriodInDays: 200 }));
  for (const ReplicaRegion of ['eu-west-1', 'ap-south-1']) {
    await kms.send(new ReplicateKeyCommand({ KeyId, ReplicaRegion, Description: ReplicaRegion }));
  }
  const imported = async (provider: string) => {
    const { status, body } = await call('POST', '/v1/keys/import', { key_id: KeyId, provider }, wait);
    t.equal(status, 201, provider);
    return body;
  };
  const first = await imported('eu');
  t.match(first, { replica_of: null, description: 'eu-west-1', status: { primary_arn: KeyMetadata?.Arn } });
  const refused = await call<Problem>('PATCH', `/v1/keys/${first.id}`, { enable_key_rotation: true });
  t.match(refused.body.errors?.[0]?.detail, KeyMetadata?.Arn, 'its primary is told by its ARN until it has a record');
  const primary = await imported('default');
  t.match(primary, { replica_of: null, enable_key_rotation: true, rotation_period_in_days: 200 });
  t.same(
    primary.status.replicas.map(({ id, provider }) => [id, provider]),
    [
      [first.id, 'eu'],
      [null, null],
    ],
    'one that has no record is told by its ARN',
  );
  t.match((await call('GET', `/v1/keys/${first.id}`)).body, { replica_of: primary.id, rotation_period_in_days: 200 });
  const source = { source: { key_ids: [KeyId] }, provider: 'ap' };
  const { body: started } = await call<{ id: string }>('POST', '/v1/imports', source);
  const second = await eventually('an import of many links it too', async () => {
    const { body } = await call<{ items: { id: string; outcome: string }[] }>('GET', `/v1/imports/${started.id}/items`);
    const id = body.items[0]?.outcome === 'imported' && body.items[0].id;
    const found = id ? (await call('GET', `/v1/keys/${id}`)).body : undefined;
    return found?.status.state === 'in_sync' && found;
  });
  t.equal(second.replica_of, primary.id);
  t.same(
    new Set((await control.calls()).map(({ operation }) => operation)),
    new Set(['CreateKey', 'EnableKeyRotation', 'ReplicateKey', 'TagResource']),
    'nothing in KMS is changed but the ownership tag',
  );
  t.same(
    [await tags(kms, KeyId), await tags(eu, KeyId), await tags(ap, KeyId)].map((all) => all['keyward:id']),
    [primary.id, first.id, second.id],
  );
});

test('a Region that lost its replica gets one again, under the same ARN', async (t) => {
  const service = await startWithRegions(t);
  const { call, eu } = service;
  const { body: primary } = await call('POST', '/v1/keys', { multi_region: true });
  const { body: gone } = await call('POST', `/v1/keys/${primary.id}/replicas`, { provider: 'eu' }, wait);
  await call('DELETE', `/v1/keys/${gone.id}?deletion_window_in_days=7`, undefined, wait);
  await letDaysPass(service, 8);
  await eventually('KMS has deleted it', async () => {
    await call('POST', `/v1/keys/${gone.id}/refresh`);
    return (await call('GET', `/v1/keys/${gone.id}`)).body.status.state === 'deleted';
  });
  const { body: again } = await call('POST', `/v1/keys/${primary.id}/replicas`, { provider: 'eu' }, wait);
  t.match(again, { arn: gone.arn, status: { state: 'in_sync' } });
  t.equal((await tags(eu, primary.key_id ?? ''))['keyward:id'], again.id);
  t.match((await call('GET', `/v1/keys/${gone.id}`)).body, { arn: gone.arn, status: { state: 'deleted' } });
});

test('a primary and its replicas are deleted in the right order and in the wrong one', async (t) => {
  for (const order of ['right', 'wrong']) {
    const service = await startWithRegions(t);
    const { call, kms, eu, ap, control } = service;
    const { body: primary } = await call('POST', '/v1/keys', { multi_region: true });
    const replicas: Key[] = [];
    for (const provider of ['eu', 'ap']) {
      replicas.push((await call('POST', `/v1/keys/${primary.id}/replicas`, { provider }, wait)).body);
    }
    const KeyId = primary.key_id ?? '';
    const remove = async ({ id }: Key) =>
      (await call('DELETE', `/v1/keys/${id}?deletion_window_in_days=7`, undefined, wait)).body;
    if (order === 'wrong') {
      const { status } = await remove(primary);
      t.match(status, { state: 'pending_deletion', key_state: 'PendingReplicaDeletion', deletion_date: null });
      t.match(status.error, { code: 'WaitsForReplicas', retryable: true });
      for (const { arn } of replicas) t.match(status.error?.message, new RegExp(arn ?? ''), 'it says for which');
      t.same(
        status.replicas.map(({ id }) => id),
        replicas.map(({ id }) => id),
      );
      t.equal((await metadata(kms, KeyId)).KeyState, 'PendingReplicaDeletion');
      const { body: restored } = await call('POST', `/v1/keys/${primary.id}/restore`, undefined, wait);
      t.match(restored.status, { state: 'in_sync', key_state: 'Enabled', error: null });
      await remove(primary);
    }
    for (const replica of replicas) {
      t.match((await remove(replica)).status, { state: 'pending_deletion', key_state: 'PendingDeletion' });
    }
    t.match(
      [(await metadata(eu, KeyId)).KeyState, (await metadata(ap, KeyId)).KeyState],
      ['PendingDeletion', 'PendingDeletion'],
    );
    const gone = ({ id }: Key) =>
      eventually('KMS has deleted it', async () => {
        await call('POST', `/v1/keys/${id}/refresh`);
        return (await call('GET', `/v1/keys/${id}`)).body.status.state === 'deleted';
      });
    if (order === 'right') {
      await letDaysPass(service, 8);
      for (const replica of replicas) await gone(replica);
      t.match((await remove(primary)).status, { key_state: 'PendingDeletion', replicas: [] });
    } else {
      await letDaysPass(service, 8);
      const { body } = await call('POST', `/v1/keys/${primary.id}/refresh`);
      t.match(body.status, { state: 'pending_deletion', key_state: 'PendingDeletion', error: null });
    }
    await letDaysPass(service, 8);
    for (const key of [primary, ...replicas]) await gone(key);
    for (const client of [kms, eu, ap]) t.same(await allKeyIds(client), [], `${order}: nothing is left`);
    await control.clear();
  }
});

test('what can not be a replica is refused with what stands in the way', async (t) => {
  const { call, kms, eu, ap, control } = await startWithRegions(t);
  const { body: single } = await call('POST', '/v1/keys', {});
  const { body: primary } = await call('POST', '/v1/keys', { multi_region: true });
  const path = `/v1/keys/${primary.id}/replicas`;
  const KeyId = primary.key_id ?? '';
  await call('POST', '/v1/providers', { name: 'here', region: 'us-east-1' });
  await call('POST', '/v1/providers', { name: 'china', region: 'cn-north-1' });
  const refused = async (route: string, body: object, status: number, expected: object) =>
    t.match(await call<Problem>('POST', route, body), { status, body: expected }, JSON.stringify(body));
  await refused(`/v1/keys/${single.id}/replicas`, { provider: 'eu' }, 409, { detail: /not a multi-Region key/ });
  await refused(path, { provider: 'here' }, 422, {
    errors: [{ pointer: '/provider', detail: /where the primary key is/ }],
  });
  await refused(path, { provider: 'china' }, 422, { errors: [{ pointer: '/provider', detail: /another partition/ }] });
  await refused(path, { provider: 'none' }, 422, { errors: [{ pointer: '/provider', code: 'not_found' }] });
  await refused(path, {}, 422, { errors: [{ pointer: '/provider', code: 'required' }] });
  const both = { provider: 'eu', enable_key_rotation: true, key_usage: 'ENCRYPT_DECRYPT' };
  await refused(path, both, 422, { errors: [{ pointer: '/enable_key_rotation' }, { pointer: '/key_usage' }] });
  const lockedOut = { ...ownPolicy('x'), Statement: [{ ...ownPolicy('x').Statement[0], Action: 'kms:Decrypt' }] };
  await refused(path, { provider: 'eu', policy: lockedOut }, 422, { errors: [{ pointer: '/policy' }] });
  t.same(await allKeyIds(eu), [], 'nothing was made');
  t.same((await call<{ items: [] }>('GET', `/v1/keys?replica_of=${primary.id}`)).body.items, [], 'no record is left');

  // Somebody else's replica, and one of nobody's.
  await kms.send(new ReplicateKeyCommand({ KeyId, ReplicaRegion: 'ap-south-1', Description: 'found' }));
  const theirs = '01980e6c-7a4b-7c1e-9f00-3b5e8d1c2a10';
  await ap.send(new TagResourceCommand({ KeyId, Tags: [{ TagKey: 'keyward:id', TagValue: theirs }] }));
  await refused(path, { provider: 'ap' }, 422, { detail: /:ap-south-1:.* another record's/ });
  t.same((await tags(ap, KeyId))['keyward:id'], theirs);
  await kms.send(new ReplicateKeyCommand({ KeyId, ReplicaRegion: 'eu-west-1', Description: 'found' }));
  const { body: adopted } = await call('POST', path, { provider: 'eu', description: 'ours' }, wait);
  t.match(adopted, { replica_of: primary.id, status: { state: 'in_sync' } });
  t.same(await tags(eu, KeyId), { 'keyward:id': adopted.id });
  t.equal((await metadata(eu, KeyId)).Description, 'ours');
  await refused(`/v1/keys/${adopted.id}/replicas`, { provider: 'ap' }, 409, { detail: new RegExp(`${primary.arn}`) });

  await control.clear();
  await call('DELETE', `/v1/keys/${primary.id}`);
  await refused(path, { provider: 'ap' }, 409, { detail: /pending deletion/ });
});

test('a replica whose making got no answer is found by its key id, and made once', async (t) => {
  const { call, eu, control } = await startWithRegions(t, { SETTLE_SECONDS: '1', WRITE_DEADLINE_SECONDS: '6' });
  const { body: primary } = await call('POST', '/v1/keys', { multi_region: true });
  for (const kind of ['reset_after_effect', 'reset_before_effect']) {
    const provider = kind === 'reset_after_effect' ? 'eu' : 'ap';
    await control.fault({ operation: 'ReplicateKey', kind });
    const { body: asked } = await call(
      'POST',
      `/v1/keys/${primary.id}/replicas`,
      { provider },
      { prefer: 'respond-async' },
    );
    const replica = await eventually(`${kind}: it is made`, async () => {
      const { body } = await call('GET', `/v1/keys/${asked.id}`);
      return body.status.state === 'in_sync' && body;
    });
    t.equal(replica.key_id, primary.key_id, kind);
    const done = (await control.calls()).filter(
      ({ operation, error }) => operation === 'ReplicateKey' && error === null,
    );
    t.ok(done.length <= 2, kind);
  }
  const { KeyMetadata } = await eu.send(new DescribeKeyCommand({ KeyId: primary.key_id ?? '' }));
  t.equal(KeyMetadata?.KeyState, 'Enabled');
});

import { test } from 'tap';
import type { Key } from '../../src/schemas/key.ts';
import type { Plan } from '../../src/schemas/plan.ts';
import { allKeyIds, metadata, ownPolicy, policy, rotation, tags } from '../support/kms-truth.ts';
import { startWithRegions } from '../support/regions.ts';
import { eventually, type Problem } from '../support/service.ts';

const wait = { prefer: 'wait=30' };
const refusal = { kind: 'error', type: 'LimitExceededException', message: 'full' };
type List = { items: Key[] };

test('a key and its replicas are made in one call, each as the body says', async (t) => {
  const { call, kms, eu, ap, control } = await startWithRegions(t);
  await call('PATCH', '/v1/providers/eu', { default_tags: { place: 'eu' } });
  const body = {
    multi_region: true,
    description: 'together',
    policy: ownPolicy('Together'),
    tags: { team: 'a' },
    enable_key_rotation: true,
    deletion_protection: true,
    aliases: ['alias/together'],
    replicate_to: ['eu', 'ap'],
  };
  const { body: plan } = await call<Plan>('POST', '/v1/keys/plan', body);
  t.same(
    plan.steps.filter(({ operation }) => operation.endsWith('eateKey') || operation === 'ReplicateKey').length,
    3,
    'a dry run tells of all of it',
  );
  t.same(await allKeyIds(kms), []);
  const repeatable = { ...wait, 'idempotency-key': 'together' };
  const { status, body: primary } = await call('POST', '/v1/keys', body, repeatable);
  t.equal(status, 201);
  const KeyId = primary.key_id ?? '';
  const shown = primary.status.replicas.map(({ provider, state, key_state }) => ({ provider, state, key_state }));
  t.same(
    new Set(shown),
    new Set(['eu', 'ap'].map((provider) => ({ provider, state: 'in_sync', key_state: 'Enabled' }))),
  );
  for (const { id, provider } of primary.status.replicas) {
    const { body: replica } = await call('GET', `/v1/keys/${id}`);
    t.match(replica, { replica_of: primary.id, description: 'together', deletion_protection: true, aliases: null });
    t.match(replica.tags_all, provider === 'eu' ? { team: 'a', place: 'eu' } : { team: 'a' });
    t.match(replica.status, { generation: 1, synced_generation: 1, error: null });
    const there = provider === 'eu' ? eu : ap;
    t.match(await metadata(there, KeyId), { Description: 'together', KeyState: 'Enabled' });
    t.same(await policy(there, KeyId), ownPolicy('Together'));
    t.match(await tags(there, KeyId), { team: 'a', 'keyward:id': id ?? '' });
    const { body: events } = await call<{ items: { type: string }[] }>('GET', `/v1/keys/${id}/events`);
    t.equal(events.items.filter(({ type }) => type === 'desired_state.changed').length, 1);
  }
  t.match(await rotation(kms, KeyId), { enabled: true });
  const again = await call('POST', '/v1/keys', body, repeatable);
  t.match(again, { status: 201, body: { id: primary.id } });
  for (const client of [kms, eu, ap]) t.same(await allKeyIds(client), [KeyId]);
  t.equal((await control.calls()).filter(({ operation }) => operation === 'ReplicateKey').length, 2);
});

test('who does not wait is told what is pending, and the replicas follow as soon as the key is made', async (t) => {
  const { call, control } = await startWithRegions(t);
  await control.fault({ operation: 'CreateKey', kind: 'throttle', times: 2 });
  const body = { multi_region: true, replicate_to: ['eu', 'ap'] };
  const asked = await call('POST', '/v1/keys', body, { prefer: 'respond-async' });
  t.match(asked, { status: 202, body: { status: { state: 'creating' } } });
  t.same(
    asked.body.status.replicas.map(({ arn, state }) => ({ arn, state })),
    [
      { arn: null, state: 'creating' },
      { arn: null, state: 'creating' },
    ],
  );
  const path = `/v1/keys/${asked.body.id}`;
  const made = await eventually('the key is made', async () => {
    const { body } = await call('GET', path);
    return body.status.state === 'in_sync' && Date.now();
  });
  await eventually('so are its replicas', async () => {
    const { body } = await call('GET', path);
    return body.status.replicas.length === 2 && body.status.replicas.every(({ state }) => state === 'in_sync');
  });
  t.ok(Date.now() - made < 4000, 'they were woken');
});

test('what KMS refuses leaves no record of the key and its replicas, and of a replica one that says so', async (t) => {
  const { call, kms, eu, ap, control } = await startWithRegions(t);
  const body = { multi_region: true, replicate_to: ['eu', 'ap'] };
  await control.fault({ operation: 'CreateKey', ...refusal });
  t.match(await call('POST', '/v1/keys', body, wait), { status: 422, body: { detail: /no record is left/ } });
  t.same((await call<List>('GET', '/v1/keys')).body.items, []);
  for (const client of [kms, eu, ap]) t.same(await allKeyIds(client), []);

  await control.fault({ operation: 'ReplicateKey', ...refusal });
  const { status, body: primary } = await call('POST', '/v1/keys', body, wait);
  t.equal(status, 201, 'the key and the other replica stay');
  t.same(primary.status.replicas.map(({ state }) => state).sort(), ['failed', 'in_sync']);
  const failed = primary.status.replicas.find(({ state }) => state === 'failed');
  t.match((await call('GET', `/v1/keys/${failed?.id}`)).body.status.error, { code: refusal.type, retryable: false });
  const mended = await call('POST', `/v1/keys/${failed?.id}/sync`, undefined, wait);
  t.match(mended, { status: 200, body: { key_id: primary.key_id, status: { state: 'in_sync' } } });
});

test('where replicas can not be is told before anything is made', async (t) => {
  const { call, kms, control } = await startWithRegions(t);
  await call('POST', '/v1/providers', { name: 'here', region: 'us-east-1' });
  await call('POST', '/v1/providers', { name: 'china', region: 'cn-north-1' });
  await call('POST', '/v1/providers', { name: 'eu-too', region: 'eu-west-1' });
  const full = Object.fromEntries(Array.from({ length: 49 }, (_, index) => [`t${index}`, '']));
  await call('POST', '/v1/providers', { name: 'full', region: 'eu-north-1', default_tags: { one: '1' } });
  await control.clear();
  const refused = async (body: object, ...errors: [string, RegExp][]) => {
    const answer = await call<Problem>('POST', '/v1/keys', { multi_region: true, ...body });
    const expected = errors.map(([pointer, detail]) => ({ pointer, detail }));
    t.match(answer, { status: 422, body: { errors: expected } }, JSON.stringify(body));
    t.equal(answer.body.errors?.length, errors.length);
  };
  await refused({ replicate_to: ['eu'], multi_region: false }, ['/multi_region', /multi-Region/]);
  await refused({ replicate_to: ['eu'], is_enabled: false }, ['/is_enabled', /enabled key/]);
  await refused({ replicate_to: 'eu' }, ['/replicate_to', /must be a list/]);
  await refused({ replicate_to: ['eu', 'eu'] }, ['/replicate_to', /duplicate/]);
  await refused({ replicate_to: ['eu', 'full'], tags: full }, ['/replicate_to/1', /tags/]);
  await refused(
    { replicate_to: ['here', 'eu', 'china', 'none', 'eu-too'], deletion_window_in_days: 3 },
    ['/deletion_window_in_days', /./],
    ['/replicate_to/0', /where the primary key is/],
    ['/replicate_to/2', /another partition/],
    ['/replicate_to/3', /no provider "none"/],
    ['/replicate_to/4', /as eu is/],
  );
  const put = await call<Problem>('PUT', '/v1/keys/01980e6c-7a4b-7c1e-9f00-3b5e8d1c2a10', { replicate_to: ['eu'] });
  t.match(put, { status: 422, body: { errors: [{ pointer: '/replicate_to' }] } });
  t.same(await allKeyIds(kms), []);
  t.same((await call<List>('GET', '/v1/keys')).body.items, []);
});

test('an export brings a family along, to where nothing is on record', async (t) => {
  const service = await startWithRegions(t);
  const { call, control } = service;
  const body = { multi_region: true, enable_key_rotation: true, replicate_to: ['eu'] };
  const { body: primary } = await call('POST', '/v1/keys', body, wait);
  await control.fault({ operation: 'ReplicateKey', ...refusal });
  const unmade = { multi_region: true, description: 'other', replicate_to: ['ap'] };
  const { body: other } = await call('POST', '/v1/keys', unmade, wait);
  const { body: text } = await call<string>('GET', '/v1/keys/export');
  const lines = text
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as Key);
  t.same(
    lines.map(({ replica_of }) => replica_of),
    [null, null, primary.id, other.id],
  );
  const ids = lines.map(({ id }) => id);
  await call('POST', '/v1/keys/release', { ids: ids.slice(0, 3) }, wait);
  await call('DELETE', `/v1/keys/${ids[3]}`, undefined, wait);
  t.same((await call<List>('GET', '/v1/keys')).body.items, []);
  await control.clear();
  const reversed = lines.toReversed().map((line) => JSON.stringify(line));
  const headers = { ...wait, 'content-type': 'application/x-ndjson' };
  const applied = await call<string>('POST', '/v1/keys/apply', reversed.join('\n'), headers);
  t.match(applied.body, /"outcome":"created".*\n.*"imported".*\n.*"imported".*\n.*"imported"/);
  for (const { id, replica_of } of lines) {
    const { body: key } = await call('GET', `/v1/keys/${id}`);
    t.match(key, { replica_of, status: { state: 'in_sync', drift: [] } }, id);
  }
  t.same(
    new Set((await control.calls()).map(({ operation }) => operation)),
    new Set(['TagResource', 'ReplicateKey']),
    'the one that was never made is, and the others are only tagged',
  );
});

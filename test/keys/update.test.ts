import { CreateKeyCommand } from '@aws-sdk/client-kms';
import { test } from 'tap';
import type { Plan } from '../../src/schemas/plan.ts';
import { metadata, ownPolicy, policy, rotation, tags } from '../support/kms-truth.ts';
import { type Problem, startService, withLateSecondLooks } from '../support/service.ts';

test('PATCH /v1/keys/{id}', async (t) => {
  const { call, kms, control } = await startService(t, withLateSecondLooks);
  const create = async (body: object = {}) => {
    const { body: key } = await call('POST', '/v1/keys', body);
    await control.clear();
    return { ...key, key_id: key.key_id ?? '' };
  };
  const operations = async () => (await control.calls()).map(({ operation }) => operation);

  t.test('each mutable field changes exactly that in KMS', async (t) => {
    const { id, key_id } = await create({ tags: { keep: '1', change: '2', drop: '3' } });
    const steps: [patch: object, operations: string[], held: () => Promise<unknown>, wanted: unknown][] = [
      [{ description: 'new' }, ['UpdateKeyDescription'], async () => (await metadata(kms, key_id)).Description, 'new'],
      [
        { enable_key_rotation: true },
        ['EnableKeyRotation'],
        () => rotation(kms, key_id),
        { enabled: true, period: 365 },
      ],
      [
        { rotation_period_in_days: 90 },
        ['EnableKeyRotation'],
        () => rotation(kms, key_id),
        { enabled: true, period: 90 },
      ],
      [{ policy: ownPolicy('Mine') }, ['PutKeyPolicy'], () => policy(kms, key_id), ownPolicy('Mine')],
      [
        { tags: { change: 'x', drop: null, add: '4' } },
        ['UntagResource', 'TagResource'],
        () => tags(kms, key_id),
        { keep: '1', change: 'x', add: '4', 'keyward:id': id },
      ],
      [{ is_enabled: false }, ['DisableKey'], async () => (await metadata(kms, key_id)).KeyState, 'Disabled'],
      [
        { rotation_period_in_days: 180 },
        ['EnableKey', 'EnableKeyRotation', 'DisableKey'],
        async () => ({ ...(await rotation(kms, key_id)), state: (await metadata(kms, key_id)).KeyState }),
        { enabled: true, period: 180, state: 'Disabled' },
      ],
      [
        { is_enabled: true, enable_key_rotation: false },
        ['EnableKey', 'DisableKeyRotation'],
        () => rotation(kms, key_id),
        { enabled: false, period: null },
      ],
      [{ tags: null }, ['UntagResource'], () => tags(kms, key_id), { 'keyward:id': id }],
    ];
    let generation = 1;
    for (const [patch, expected, held, wanted] of steps) {
      await control.clear();
      generation += 1;
      const { status, headers, body } = await call('PATCH', `/v1/keys/${id}`, patch);
      t.equal(status, 200, JSON.stringify(patch));
      t.same(await operations(), expected, `only ${expected.join(', ')}`);
      t.same(await held(), wanted);
      t.match(body.status, { state: 'in_sync', generation, synced_generation: generation, drift: [] });
      t.match(headers.get('etag'), new RegExp(`^"${generation}\\.`));
    }
  });

  t.test('what only Keyward keeps costs no KMS write', async (t) => {
    const { id } = await create();
    const patch = {
      deletion_window_in_days: 8,
      deletion_protection: true,
      drift_policy: 'report',
      bypass_policy_lockout_safety_check: true,
    };
    const { status, body } = await call('PATCH', `/v1/keys/${id}`, patch);
    t.equal(status, 200);
    t.match(body, patch);
    t.same(await operations(), []);
  });

  t.test('a patch that changes nothing makes no generation', async (t) => {
    const { id } = await create({ description: 'same', tags: { a: '1' } });
    const { status, body } = await call('PATCH', `/v1/keys/${id}`, { description: 'same', tags: { a: '1', b: null } });
    t.equal(status, 200);
    t.equal(body.status.generation, 1);
    t.same(await control.calls({ reads: true }), []);
  });

  t.test('an equal policy, written otherwise, is not put again', async (t) => {
    const { id } = await create({ policy: ownPolicy('Mine') });
    const [statement] = ownPolicy('Mine').Statement;
    const Statement = { ...statement, Action: ['KMS:*'], Principal: { AWS: ['111122223333'] } };
    const patch = { policy: { ...ownPolicy('Mine'), Statement } };
    const { status } = await call('PATCH', `/v1/keys/${id}`, patch, { 'content-type': 'application/merge-patch+json' });
    t.equal(status, 200);
    t.same(await operations(), []);
  });

  t.test('policy null stops managing it and leaves the one in force', async (t) => {
    const { id, key_id } = await create({ policy: ownPolicy('Mine') });
    const { status, body } = await call('PATCH', `/v1/keys/${id}`, { policy: null });
    t.equal(status, 200);
    t.same(body.policy, ownPolicy('Mine'));
    t.same(await policy(kms, key_id), ownPolicy('Mine'));
    t.same(await operations(), []);
  });

  t.test('a policy is one value: nothing of the one before stays, whatever its shape', async (t) => {
    const account = 'arn:aws:iam::111122223333';
    const root = { Effect: 'Allow', Principal: { AWS: `${account}:root` }, Action: 'kms:*', Resource: '*' };
    const open = { ...root, Principal: { AWS: `${account}:root`, Service: 'ec2.amazonaws.com' }, Sid: 'Open' };
    const Condition = { StringEquals: { 'kms:ViaService': 'ec2.us-east-1.amazonaws.com' } };
    const before = { Version: '2012-10-17', Id: 'mine', Statement: open };
    const restricted = { ...before, Statement: [root, { ...open, Condition }] };
    const after = { Statement: root };
    const { id, key_id } = await create({ policy: before });
    const { body: planned } = await call<Plan>('POST', `/v1/keys/${id}/plan`, { policy: after });
    t.same(
      planned.steps.map(({ parameters }) => JSON.parse(String(parameters['Policy']))),
      [after],
      'the plan replaces it whole',
    );
    for (const policyAsked of [after, restricted, after]) {
      const { status, body } = await call('PATCH', `/v1/keys/${id}`, { policy: policyAsked });
      t.same([status, body.policy], [200, policyAsked]);
      t.same(await policy(kms, key_id), policyAsked);
    }
    const { body: back } = await call('POST', `/v1/keys/${id}/rollback`, { generation: 1 });
    t.same([back.policy, await policy(kms, key_id)], [before, before], 'a rollback too');
    const patch = { policy: after, key_usage: 'SIGN_VERIFY', customer_master_key_spec: 'RSA_2048' };
    const { body: replaced } = await call('POST', `/v1/keys/${id}/replace`, patch);
    t.same([replaced.policy, await policy(kms, replaced.key_id ?? '')], [after, after], 'a replacement too');
  });

  t.test('an imported policy keeps neither its Id nor its Version against a PATCH', async (t) => {
    const { KeyMetadata } = await kms.send(new CreateKeyCommand({}));
    const { body: key } = await call('POST', '/v1/keys/import', { key_id: KeyMetadata?.KeyId });
    const { Statement } = ownPolicy('Imported');
    const { body } = await call('PATCH', `/v1/keys/${key.id}`, { policy: { Statement } });
    t.same(body.policy, { Statement });
    t.same(await policy(kms, key.key_id ?? ''), { Statement });
  });

  t.test("a first policy of one's own is taken as it is, without the Id of KMS's default", async (t) => {
    const { id, key_id } = await create();
    await call('PATCH', `/v1/keys/${id}`, { policy: ownPolicy('First') });
    t.same(await policy(kms, key_id), ownPolicy('First'));
  });

  t.test('an immutable field that would change is refused and named', async (t) => {
    const { id, status: before } = await create();
    const values = {
      key_usage: 'SIGN_VERIFY',
      customer_master_key_spec: 'RSA_2048',
      custom_key_store_id: 'cks-1',
      xks_key_id: 'x',
      multi_region: true,
      provider: 'other',
    };
    for (const [field, value] of Object.entries(values)) {
      const { status, body } = await call<Problem>('PATCH', `/v1/keys/${id}`, { [field]: value });
      t.equal(status, 422, field);
      t.same(
        body.errors?.map(({ pointer }) => pointer),
        [`/${field}`],
      );
      t.match(body.errors?.[0]?.detail, /replacement is needed/);
    }
    t.same((await call('GET', `/v1/keys/${id}`)).body.status, before);
    t.equal((await call('PATCH', `/v1/keys/${id}`, { key_usage: 'ENCRYPT_DECRYPT', xks_key_id: null })).status, 200);
  });

  t.test('limits hold for a patch too, all at once', async (t) => {
    const { id } = await create();
    const { status, body } = await call<Problem>('PATCH', `/v1/keys/${id}`, {
      deletion_window_in_days: 31,
      rotation_period_in_days: 200,
      tags: { 'aws:x': '1' },
      id: 'x',
      multi_region: true,
    });
    t.equal(status, 422);
    const pointers = ['/deletion_window_in_days', '/rotation_period_in_days', '/tags/aws:x', '/id', '/multi_region'];
    t.same(new Set(body.errors?.map(({ pointer }) => pointer)), new Set(pointers));
    t.same(await operations(), []);
  });

  t.test('If-Match compares the generation alone', async (t) => {
    const { id } = await create();
    const { headers } = await call('POST', `/v1/keys/${id}/refresh`);
    const etag = headers.get('etag') ?? '';
    await call('POST', `/v1/keys/${id}/refresh`);
    t.not((await call('GET', `/v1/keys/${id}`)).headers.get('etag'), etag, 'an observation moves the ETag');
    t.equal((await call('PATCH', `/v1/keys/${id}`, { description: 'a' }, { 'if-match': etag })).status, 200);
    const stale = await call<Problem>('PATCH', `/v1/keys/${id}`, { description: 'b' }, { 'if-match': etag });
    t.equal(stale.status, 412);
    t.match(stale.body.type, /\/problems\/stale-generation$/);
    t.equal((await call('PATCH', `/v1/keys/${id}`, { description: 'c' }, { 'if-match': '*' })).status, 200);
    t.equal((await call('PATCH', `/v1/keys/${id}`, { description: 'd' }, { 'if-match': '"x", "3"' })).status, 200);
    t.equal((await call('DELETE', `/v1/keys/${id}`, undefined, { 'if-match': etag })).status, 412);
  });

  t.test('a change that KMS refuses is taken back whole', async (t) => {
    const { id, key_id } = await create({ description: 'before', tags: { a: '1' }, policy: ownPolicy('Before') });
    const locked = { Version: '2012-10-17', Statement: [{ ...ownPolicy('x').Statement[0], Action: 'kms:Decrypt' }] };
    const patch = { description: 'after', tags: { a: '2', b: '3' }, policy: locked };
    const { status, body } = await call<Problem>('PATCH', `/v1/keys/${id}`, patch);
    t.equal(status, 422);
    t.match(body.kms_error, { code: 'MalformedPolicyDocumentException', operation: 'PutKeyPolicy' });
    t.match(body.detail, /will not allow you to update the key policy in the future/);
    const { body: key } = await call('GET', `/v1/keys/${id}`);
    t.match(key, { description: 'before', tags: { a: '1' }, policy: ownPolicy('Before') });
    t.match(key.status, { state: 'in_sync', error: { code: 'MalformedPolicyDocumentException', retryable: false } });
    t.equal((await metadata(kms, key_id)).Description, 'before');
    t.same(await tags(kms, key_id), { a: '1', 'keyward:id': id });
    t.same(await policy(kms, key_id), ownPolicy('Before'));
    const synced = await call('POST', `/v1/keys/${id}/sync`);
    t.match(
      synced,
      { status: 200, body: { status: { state: 'in_sync', error: null } } },
      'a sync that is asked for ends it',
    );
    await call('PATCH', `/v1/keys/${id}`, patch);
    t.equal((await call('PATCH', `/v1/keys/${id}`, { description: 'next' })).body.status.error, null);
  });

  t.test('a policy that was not managed comes back as well', async (t) => {
    const { id, key_id } = await create();
    const inForce = await policy(kms, key_id);
    await control.fault({ operation: 'TagResource', kind: 'error', type: 'TagException', message: 'no' });
    const patch = { policy: ownPolicy('After'), tags: { a: '1' } };
    t.equal((await call('PATCH', `/v1/keys/${id}`, patch)).status, 422);
    t.same(await policy(kms, key_id), inForce);
    t.match((await call('GET', `/v1/keys/${id}`)).body, { policy: inForce, tags: {}, status: { state: 'in_sync' } });
  });

  t.test('an unknown key is 404', async (t) => {
    for (const id of ['01980e6c-0000-7000-8000-000000000000', 'nonsense', '%00', 'a'.repeat(2000)]) {
      t.equal((await call('PATCH', `/v1/keys/${id}`, {})).status, 404);
    }
  });
});

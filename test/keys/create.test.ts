import { test } from 'tap';
import { keySpecs, usagesBySpec } from '../../src/domain/key-specs.ts';
import { allKeyIds, metadata, ownPolicy, policy, rotation, tags } from '../support/kms-truth.ts';
import { type Problem, startService } from '../support/service.ts';

test('POST /v1/keys', async (t) => {
  const { call, kms, control } = await startService(t);

  t.test('with every argument that can be set together, KMS holds them all', async (t) => {
    const body = {
      provider: 'default',
      description: 'Payments: card data',
      key_usage: 'ENCRYPT_DECRYPT',
      customer_master_key_spec: 'SYMMETRIC_DEFAULT',
      multi_region: true,
      policy: ownPolicy('All'),
      bypass_policy_lockout_safety_check: true,
      deletion_window_in_days: 7,
      is_enabled: false,
      enable_key_rotation: true,
      rotation_period_in_days: 180,
      tags: { team: 'payments', 'cost:center': '42', empty: '' },
      drift_policy: 'report',
      deletion_protection: true,
    };
    const { status, headers, body: key } = await call('POST', '/v1/keys', body);
    t.equal(status, 201);
    t.match(key, body, 'the answer shows what was asked for');
    t.equal(headers.get('location'), `/v1/keys/${key.id}`);
    t.match(headers.get('etag'), /^"1\.\d+"$/);
    t.match(key.id, /^[0-9a-f]{8}-[0-9a-f]{4}-7/);
    t.match(key.status, { state: 'in_sync', generation: 1, synced_generation: 1, key_state: 'Disabled', error: null });

    const keyId = key.key_id ?? '';
    const held = await metadata(kms, keyId);
    t.match(held, {
      Arn: key.arn,
      Description: body.description,
      KeySpec: 'SYMMETRIC_DEFAULT',
      KeyUsage: 'ENCRYPT_DECRYPT',
      MultiRegion: true,
      KeyState: 'Disabled',
    });
    t.match(keyId, /^mrk-/);
    t.same(await policy(kms, keyId), body.policy);
    t.same(await rotation(kms, keyId), { enabled: true, period: 180 });
    t.same(await tags(kms, keyId), { ...body.tags, 'keyward:id': key.id });
    const { allowed_actions: actions, ...shown } = (await call('GET', `/v1/keys/${key.id}`)).body;
    t.same(shown, key, 'GET shows the same');
    t.ok(actions?.includes('keys:update'), 'and what its caller may do');
  });

  t.test('with nothing, every default of aws_kms_key', async (t) => {
    await control.clear();
    const { status, body: key } = await call('POST', '/v1/keys', {});
    t.equal(status, 201);
    t.match(key, {
      provider: 'default',
      description: '',
      key_usage: 'ENCRYPT_DECRYPT',
      customer_master_key_spec: 'SYMMETRIC_DEFAULT',
      custom_key_store_id: null,
      xks_key_id: null,
      multi_region: false,
      bypass_policy_lockout_safety_check: false,
      deletion_window_in_days: 30,
      is_enabled: true,
      enable_key_rotation: false,
      rotation_period_in_days: null,
      tags: {},
      tags_all: {},
      drift_policy: 'enforce',
      deletion_protection: false,
    });
    t.same(key.policy, await policy(kms, key.key_id ?? ''), 'policy is the one that KMS gave');
    t.same(
      (await control.calls()).map(({ operation }) => operation),
      ['CreateKey'],
      'one write is enough',
    );
  });

  t.test('null stands for the default, and rotation without a period shows 365', async (t) => {
    const { body } = await call('POST', '/v1/keys', { description: null, tags: null, enable_key_rotation: true });
    t.match(body, { description: '', tags: {}, rotation_period_in_days: 365 });
    t.same(await rotation(kms, body.key_id ?? ''), { enabled: true, period: 365 });
  });

  t.test('each key spec with each of its usages', async (t) => {
    for (const spec of keySpecs) {
      for (const usage of usagesBySpec[spec]) {
        const { status, body } = await call('POST', '/v1/keys', { customer_master_key_spec: spec, key_usage: usage });
        t.equal(status, 201, `${spec} ${usage}`);
        t.match(await metadata(kms, body.key_id ?? ''), { KeySpec: spec, KeyUsage: usage });
      }
    }
  });

  t.test('both limits of each argument are taken', async (t) => {
    const longest = { description: 'ü'.repeat(8192), tags: { ['n'.repeat(128)]: 'v'.repeat(256) } };
    for (const body of [
      longest,
      { description: '' },
      { deletion_window_in_days: 7 },
      { deletion_window_in_days: 30 },
      { enable_key_rotation: true, rotation_period_in_days: 90 },
      { enable_key_rotation: true, rotation_period_in_days: 2560 },
      { tags: { a: '' } },
      { tags: Object.fromEntries(Array.from({ length: 49 }, (_, index) => [`tag${index}`, 'x'])) },
    ]) {
      const { status, body: key } = await call('POST', '/v1/keys', body);
      t.equal(status, 201, JSON.stringify(body).slice(0, 60));
      t.match(key, body);
    }
  });

  const root = { Effect: 'Allow', Principal: { AWS: '111122223333' }, Action: 'kms:*', Resource: '*' };
  const policyOfBytes = (size: number) => {
    const text = (sid: string) => ({ Version: '2012-10-17', Statement: [{ Sid: sid, ...root }] });
    return text('x'.repeat(size - JSON.stringify(text('')).length));
  };

  t.test('a policy of 32,768 bytes is taken', async (t) => {
    t.equal((await call('POST', '/v1/keys', { policy: policyOfBytes(32_768) })).status, 201);
  });

  t.test('one step beyond each limit is refused, with a pointer to the field', async (t) => {
    const before = (await allKeyIds(kms)).length;
    const cases: [body: object | string, pointer: string][] = [
      [{ description: 'x'.repeat(8193) }, '/description'],
      [{ description: 5 }, '/description'],
      [{ description: 'nul \u0000' }, '/description'],
      ['{"description":"half \\ud800"}', '/description'],
      [{ key_usage: 'ENCRYPT' }, '/key_usage'],
      [{ key_usage: 'SIGN_VERIFY' }, '/key_usage'],
      [{ customer_master_key_spec: 'HMAC_256' }, '/key_usage'],
      [{ customer_master_key_spec: 'RSA_1024' }, '/customer_master_key_spec'],
      [{ custom_key_store_id: '' }, '/custom_key_store_id'],
      [{ custom_key_store_id: 'c'.repeat(23) }, '/custom_key_store_id'],
      [{ custom_key_store_id: 'cks-1', xks_key_id: '' }, '/xks_key_id'],
      [{ custom_key_store_id: 'cks-1', xks_key_id: 'x'.repeat(129) }, '/xks_key_id'],
      [{ xks_key_id: 'x' }, '/xks_key_id'],
      [{ custom_key_store_id: 'cks-1', multi_region: true }, '/multi_region'],
      [{ custom_key_store_id: 'cks-1', enable_key_rotation: true }, '/enable_key_rotation'],
      [{ custom_key_store_id: 'cks-1', customer_master_key_spec: 'RSA_2048' }, '/customer_master_key_spec'],
      [{ multi_region: 'true' }, '/multi_region'],
      [{ policy: 'a string' }, '/policy'],
      [{ policy: [] }, '/policy'],
      [{ policy: policyOfBytes(32_769) }, '/policy'],
      [`{"policy":{"a":${'['.repeat(5000)}${']'.repeat(5000)}}}`, '/policy'],
      [{ bypass_policy_lockout_safety_check: 1 }, '/bypass_policy_lockout_safety_check'],
      [{ deletion_window_in_days: 6 }, '/deletion_window_in_days'],
      [{ deletion_window_in_days: 31 }, '/deletion_window_in_days'],
      [{ deletion_window_in_days: 7.5 }, '/deletion_window_in_days'],
      [{ deletion_window_in_days: '7' }, '/deletion_window_in_days'],
      [{ is_enabled: 'yes' }, '/is_enabled'],
      [{ enable_key_rotation: 'no' }, '/enable_key_rotation'],
      [{ enable_key_rotation: true, rotation_period_in_days: 89 }, '/rotation_period_in_days'],
      [{ enable_key_rotation: true, rotation_period_in_days: 2561 }, '/rotation_period_in_days'],
      ['{"enable_key_rotation":true,"rotation_period_in_days":1e400}', '/rotation_period_in_days'],
      [{ rotation_period_in_days: 90 }, '/rotation_period_in_days'],
      [
        { customer_master_key_spec: 'RSA_2048', key_usage: 'SIGN_VERIFY', enable_key_rotation: true },
        '/enable_key_rotation',
      ],
      [{ tags: { '': 'x' } }, '/tags/'],
      [{ tags: { ['n'.repeat(129)]: 'x' } }, `/tags/${'n'.repeat(129)}`],
      [{ tags: { a: 'v'.repeat(257) } }, '/tags/a'],
      [{ tags: { 'a/b': 'v'.repeat(257) } }, '/tags/a~1b'],
      [{ tags: { a: 5 } }, '/tags/a'],
      [{ tags: { a: 'semi;colon' } }, '/tags/a'],
      [{ tags: { 'AWS:x': '1' } }, '/tags/AWS:x'],
      [{ tags: { 'keyward:id': 'mine' } }, '/tags/keyward:id'],
      [{ tags: Object.fromEntries(Array.from({ length: 50 }, (_, index) => [`tag${index}`, 'x'])) }, '/tags'],
      [{ tags: ['a'] }, '/tags'],
      [{ drift_policy: 'ignore' }, '/drift_policy'],
      [{ deletion_protection: 'on' }, '/deletion_protection'],
      [{ provider: 'nowhere' }, '/provider'],
      [{ colour: 'red' }, '/colour'],
      [{ arn: 'arn:aws:kms:…' }, '/arn'],
    ];
    for (const [body, pointer] of cases) {
      const text = typeof body === 'string' ? body : JSON.stringify(body);
      const { status, headers, body: problem } = await call<Problem>('POST', '/v1/keys', text);
      t.equal(status, 422, text.slice(0, 90));
      t.equal(headers.get('content-type'), 'application/problem+json');
      t.same(
        problem.errors?.map((error) => error.pointer),
        [pointer],
        text.slice(0, 90),
      );
    }
    t.equal((await allKeyIds(kms)).length, before, 'nothing reached KMS');
  });

  t.test('all violations of one body come back at once', async (t) => {
    const { status, body } = await call<Problem>('POST', '/v1/keys', {
      description: 7,
      key_usage: 'SIGN_VERIFY',
      deletion_window_in_days: 3,
      rotation_period_in_days: 100,
      tags: { 'aws:a': 'x', good: 'x', bad: 1, 'none/~': null, long: 'v'.repeat(300) },
      colour: 'red',
    });
    t.equal(status, 422);
    t.same(
      new Set(body.errors?.map(({ pointer }) => pointer)),
      new Set([
        '/description',
        '/key_usage',
        '/deletion_window_in_days',
        '/rotation_period_in_days',
        '/tags/aws:a',
        '/tags/bad',
        '/tags/none~1~0',
        '/tags/long',
        '/colour',
      ]),
    );
  });

  t.test('a tag without a value is removed by a PATCH, and refused in a POST', async (t) => {
    for (const path of ['/v1/keys', '/v1/keys/plan']) {
      const { status, body } = await call<Problem>('POST', path, { tags: { a: null } });
      t.equal(status, 422, path);
      t.match(body.errors, [{ pointer: '/tags/a', detail: /string/ }]);
    }
    const { body: key } = await call('POST', '/v1/keys', { tags: { a: '1', b: '2' } });
    t.same((await call('PATCH', `/v1/keys/${key.id}`, { tags: { a: null, c: null } })).body.tags, { b: '2' });
  });

  t.test('what KMS refuses leaves no record and answers with its words', async (t) => {
    const locked = { Version: '2012-10-17', Statement: [{ ...root, Action: 'kms:Decrypt' }] };
    const { status, body } = await call<Problem>('POST', '/v1/keys', { policy: locked, description: 'refused' });
    t.equal(status, 422);
    t.match(body.type, /\/problems\/refused-by-kms$/);
    t.same(body.kms_error, {
      code: 'MalformedPolicyDocumentException',
      message: 'The new key policy will not allow you to update the key policy in the future.',
      operation: 'CreateKey',
    });
    t.equal((await call('GET', `/v1/keys/${body.id}`)).status, 404);
  });

  t.test('a principal that stays unknown is refused within the wait', async (t) => {
    const stranger = { AWS: 'arn:aws:iam::111122223333:role/missing-role' };
    const unknown = { Version: '2012-10-17', Statement: [root, { ...root, Principal: stranger }] };
    const { status, body } = await call<Problem>('POST', '/v1/keys', { policy: unknown });
    t.equal(status, 422);
    t.equal(body.kms_error?.message, 'Policy contains a statement with one or more invalid principals.');
  });

  t.test('a refusal after CreateKey schedules the deletion of the key that nobody has used', async (t) => {
    await control.fault({
      operation: 'EnableKeyRotation',
      kind: 'error',
      type: 'ValidationException',
      message: 'No.',
    });
    const { status, body } = await call<Problem>('POST', '/v1/keys', { enable_key_rotation: true });
    t.equal(status, 422);
    const { body: key } = await call('GET', `/v1/keys/${body.id}`);
    t.match(key.status, { state: 'pending_deletion', error: { code: 'ValidationException', retryable: false } });
    t.equal((await metadata(kms, key.key_id ?? '')).KeyState, 'PendingDeletion');
  });
});

import assert from 'node:assert/strict';
import { keySpecs, usagesBySpec } from '../../src/domain/key-specs.ts';
import { allKeyIds, metadata, ownPolicyOf, policy, rotation, tags } from '../support/kms-truth.ts';
import { create, problemOf, type Scenario } from './scenario.ts';

const eachSpec: Scenario[] = keySpecs.flatMap((spec) =>
  usagesBySpec[spec].map((usage) => ({
    name: `create: ${spec} for ${usage}`,
    run: async (context) => {
      const key = await create(context, { customer_master_key_spec: spec, key_usage: usage });
      const held = await metadata(context.kms, key.key_id);
      assert.equal(held.KeySpec, spec);
      assert.equal(held.KeyUsage, usage);
      assert.equal(held.Arn, key.arn);
      assert.equal((await tags(context.kms, key.key_id))['keyward:id'], key.id);
    },
  })),
);

export const createScenarios: Scenario[] = [
  ...eachSpec,
  {
    name: 'create: every argument that can be set together',
    run: async (context) => {
      const { kms } = context;
      const { AWSAccountId: account = '' } = await metadata(kms, (await create(context)).key_id);
      const body = {
        description: 'Payments: card data',
        key_usage: 'ENCRYPT_DECRYPT',
        customer_master_key_spec: 'SYMMETRIC_DEFAULT',
        multi_region: true,
        policy: ownPolicyOf(account, 'All'),
        bypass_policy_lockout_safety_check: true,
        deletion_window_in_days: 7,
        is_enabled: false,
        enable_key_rotation: true,
        tags: { team: 'payments', 'cost:center': '42' },
      };
      const key = await create(context, body);
      for (const [field, value] of Object.entries(body)) assert.deepEqual(key[field as keyof typeof key], value, field);
      const held = await metadata(kms, key.key_id);
      assert.equal(held.Description, body.description);
      assert.equal(held.MultiRegion, true);
      assert.equal(held.KeyState, 'Disabled');
      assert.match(key.key_id, /^mrk-/);
      assert.deepEqual(await policy(kms, key.key_id), body.policy);
      assert.deepEqual(await rotation(kms, key.key_id), { enabled: true, period: 365 });
      assert.deepEqual(await tags(kms, key.key_id), { ...body.tags, 'keyward:id': key.id });
    },
  },
  {
    name: 'create: with nothing, the defaults, and the policy that KMS gives',
    run: async (context) => {
      const key = await create(context);
      const held = await metadata(context.kms, key.key_id);
      assert.equal(held.KeyState, 'Enabled');
      assert.equal(held.Description, '');
      assert.deepEqual(key.policy, await policy(context.kms, key.key_id));
      assert.deepEqual(await rotation(context.kms, key.key_id), { enabled: false, period: null });
    },
  },
  {
    name: 'create: what breaks a rule is refused, and no key is made',
    run: async (context) => {
      const before = (await allKeyIds(context.kms)).length;
      for (const [body, pointer] of [
        [{ key_usage: 'SIGN_VERIFY' }, '/key_usage'],
        [{ deletion_window_in_days: 6 }, '/deletion_window_in_days'],
        [{ rotation_period_in_days: 100 }, '/rotation_period_in_days'],
        [{ tags: { 'aws:x': '' } }, '/tags/aws:x'],
        [{ colour: 'red' }, '/colour'],
      ] as const) {
        const answer = await context.call('POST', '/v1/keys', body);
        assert.equal(answer.status, 422);
        assert.deepEqual(
          problemOf(answer).errors?.map((error) => error.pointer),
          [pointer],
        );
      }
      assert.equal((await allKeyIds(context.kms)).length, before);
    },
  },
  {
    name: 'create: a policy that locks its owner out is refused by KMS and leaves no record',
    run: async (context) => {
      const statement = { Effect: 'Allow', Principal: { AWS: '*' }, Action: 'kms:Decrypt', Resource: '*' };
      const body = { policy: { Version: '2012-10-17', Statement: [statement] } };
      const answer = await context.call('POST', '/v1/keys', body);
      assert.equal(answer.status, 422);
      const { id, kms_error } = problemOf(answer);
      assert.equal(kms_error?.code, 'MalformedPolicyDocumentException');
      assert.equal((await context.call('GET', `/v1/keys/${id}`)).status, 404);
    },
  },
];

import assert from 'node:assert/strict';
import { metadata, ownPolicyOf, policy, rotation, tags } from '../support/kms-truth.ts';
import { type Context, create, problemOf, type Scenario } from './scenario.ts';

/** All that an update can change, as KMS holds it. */
async function held({ kms }: Context, keyId: string) {
  const { Description, KeyState, AWSAccountId } = await metadata(kms, keyId);
  const { 'keyward:id': _owner, ...others } = await tags(kms, keyId);
  const facts = { policy: await policy(kms, keyId), rotation: await rotation(kms, keyId), tags: others };
  return { Description, KeyState, account: AWSAccountId ?? '', ...facts };
}
type Held = Awaited<ReturnType<typeof held>>;

type Change = { name: string; from?: object; patch: (before: Held) => object; effect: (before: Held) => Partial<Held> };

const changes: Change[] = [
  { name: 'description', patch: () => ({ description: 'new' }), effect: () => ({ Description: 'new' }) },
  {
    name: 'policy',
    patch: ({ account }) => ({ policy: ownPolicyOf(account, 'New') }),
    effect: ({ account }) => ({ policy: ownPolicyOf(account, 'New') }),
  },
  { name: 'is_enabled to false', patch: () => ({ is_enabled: false }), effect: () => ({ KeyState: 'Disabled' }) },
  {
    name: 'is_enabled to true',
    from: { is_enabled: false },
    patch: () => ({ is_enabled: true }),
    effect: () => ({ KeyState: 'Enabled' }),
  },
  {
    name: 'enable_key_rotation to true',
    patch: () => ({ enable_key_rotation: true }),
    effect: () => ({ rotation: { enabled: true, period: 365 } }),
  },
  {
    name: 'enable_key_rotation of a disabled key',
    from: { is_enabled: false },
    patch: () => ({ enable_key_rotation: true }),
    effect: () => ({ rotation: { enabled: true, period: 365 } }),
  },
  {
    name: 'enable_key_rotation to false',
    from: { enable_key_rotation: true },
    patch: () => ({ enable_key_rotation: false }),
    effect: () => ({ rotation: { enabled: false, period: null } }),
  },
  {
    name: 'rotation_period_in_days',
    from: { enable_key_rotation: true, rotation_period_in_days: 90 },
    patch: () => ({ rotation_period_in_days: 2560 }),
    effect: () => ({ rotation: { enabled: true, period: 2560 } }),
  },
  {
    name: 'tags added, changed and removed',
    from: { tags: { kept: '1', changed: '1', removed: '1' } },
    patch: () => ({ tags: { changed: '2', removed: null, added: '' } }),
    effect: () => ({ tags: { kept: '1', changed: '2', added: '' } }),
  },
  {
    name: 'all of it at once',
    from: { tags: { a: '1' } },
    patch: ({ account }) => ({
      description: 'all',
      policy: ownPolicyOf(account, 'All'),
      is_enabled: false,
      enable_key_rotation: true,
      tags: { b: '2' },
    }),
    effect: ({ account }) => ({
      Description: 'all',
      policy: ownPolicyOf(account, 'All'),
      KeyState: 'Disabled',
      rotation: { enabled: true, period: 365 },
      tags: { a: '1', b: '2' },
    }),
  },
  { name: 'nothing', patch: () => ({}), effect: () => ({}) },
  {
    name: 'what KMS has no part in',
    patch: () => ({ deletion_window_in_days: 9, deletion_protection: true, drift_policy: 'report' }),
    effect: () => ({}),
  },
];

const eachChange = changes.map(
  ({ name, from = {}, patch, effect }): Scenario => ({
    name: `update: ${name} changes exactly that`,
    run: async (context) => {
      const key = await create(context, from);
      const before = await held(context, key.key_id);
      const { status, body } = await context.call('PATCH', `/v1/keys/${key.id}`, patch(before));
      assert.equal(status, 200, JSON.stringify(body));
      assert.equal(body.status.state, 'in_sync');
      assert.deepEqual(await held(context, key.key_id), { ...before, ...effect(before) });
    },
  }),
);

export const updateScenarios: Scenario[] = [
  ...eachChange,
  {
    name: 'update: an immutable field needs a replacement',
    run: async (context) => {
      const { id } = await create(context);
      const answer = await context.call('PATCH', `/v1/keys/${id}`, { multi_region: true });
      assert.equal(answer.status, 422);
      assert.match(problemOf(answer).errors?.[0]?.detail ?? '', /replacement/);
    },
  },
  {
    name: 'update: a policy that KMS refuses takes the whole update back',
    run: async (context) => {
      const key = await create(context, { description: 'kept', tags: { kept: '1' } });
      const before = await held(context, key.key_id);
      const statement = { Effect: 'Allow', Principal: { AWS: '*' }, Action: 'kms:Decrypt', Resource: '*' };
      const patch = {
        description: 'lost',
        tags: { lost: '1' },
        policy: { Version: '2012-10-17', Statement: [statement] },
      };
      const answer = await context.call('PATCH', `/v1/keys/${key.id}`, patch);
      assert.equal(answer.status, 422);
      assert.deepEqual(await held(context, key.key_id), before);
      const { body } = await context.call('GET', `/v1/keys/${key.id}`);
      assert.equal(body.description, 'kept');
      assert.deepEqual(body.tags, { kept: '1' });
    },
  },
];

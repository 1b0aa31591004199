/** Multi-Region keys: what KMS holds of a primary key and its replicas. */
import assert from 'node:assert/strict';
import {
  CreateAliasCommand,
  EnableKeyRotationCommand,
  GetKeyRotationStatusCommand,
  type KMSClient,
  ReplicateKeyCommand,
  UpdateKeyDescriptionCommand,
  UpdatePrimaryRegionCommand,
} from '@aws-sdk/client-kms';
import { metadata, tags } from '../support/kms-truth.ts';
import { eventually } from '../support/service.ts';
import { type Context, create, createInKms, otherRegion, type Scenario, serviceRegion } from './scenario.ts';

/** A primary key with a replica, both at rest. */
async function pair({ kms, elsewhere }: Context) {
  const primary = await createInKms(kms, { MultiRegion: true, Description: 'primary' });
  const input = { KeyId: primary.KeyId, ReplicaRegion: otherRegion, Description: 'replica' };
  await kms.send(new ReplicateKeyCommand({ ...input, Tags: [{ TagKey: 'of', TagValue: 'replica' }] }));
  await atRest(elsewhere, primary.KeyId);
  return primary;
}

const atRest = (kms: KMSClient, KeyId: string) =>
  eventually('the key is Enabled', async () => (await metadata(kms, KeyId)).KeyState === 'Enabled');

const configurationOf = async (kms: KMSClient, KeyId: string) => (await metadata(kms, KeyId)).MultiRegionConfiguration;

/** The provider of the other Region, which is made at its first use. */
async function elsewhereProvider({ call }: Context): Promise<string> {
  const name = 'elsewhere';
  const { status } = await call('POST', '/v1/providers', { name, region: otherRegion });
  assert.ok([201, 409].includes(status), `POST /v1/providers answers ${status}`);
  return name;
}

export const multiRegionScenarios: Scenario[] = [
  {
    name: 'replicas: ReplicateKey answers a key that is being created, without tags',
    run: async ({ kms }) => {
      const { KeyId } = await createInKms(kms, { MultiRegion: true });
      const Tags = [{ TagKey: 'a', TagValue: '1' }];
      const answer = await kms.send(new ReplicateKeyCommand({ KeyId, ReplicaRegion: otherRegion, Tags }));
      const { KeyState, Enabled } = answer.ReplicaKeyMetadata ?? {};
      assert.deepEqual({ KeyState, Enabled }, { KeyState: 'Creating', Enabled: false });
      assert.equal(answer.ReplicaTags, undefined);
    },
  },
  {
    name: 'replicas: a Region that does not exist is refused',
    run: async ({ kms }) => {
      const { KeyId } = await createInKms(kms, { MultiRegion: true });
      await assert.rejects(kms.send(new ReplicateKeyCommand({ KeyId, ReplicaRegion: 'eu-west-9' })));
    },
  },
  {
    name: 'replicas: one has the id of its primary key, and names it',
    run: async (context) => {
      const { KeyId, Arn } = await pair(context);
      assert.match(KeyId, /^mrk-[0-9a-f]{32}$/);
      const replica = Arn.replace(serviceRegion, otherRegion);
      const roles = {
        PrimaryKey: { Arn, Region: serviceRegion },
        ReplicaKeys: [{ Arn: replica, Region: otherRegion }],
      };
      assert.equal((await metadata(context.elsewhere, KeyId)).Arn, replica);
      const of = { MultiRegionKeyType: 'REPLICA', ...roles };
      assert.deepEqual(await configurationOf(context.elsewhere, KeyId), of);
      assert.deepEqual(await configurationOf(context.kms, KeyId), { ...of, MultiRegionKeyType: 'PRIMARY' });
    },
  },
  {
    name: 'replicas: description, tags and aliases are each its own',
    run: async (context) => {
      const { kms, elsewhere } = context;
      const { KeyId } = await pair(context);
      await kms.send(new UpdateKeyDescriptionCommand({ KeyId, Description: 'changed' }));
      assert.equal((await metadata(elsewhere, KeyId)).Description, 'replica');
      assert.deepEqual([await tags(kms, KeyId), await tags(elsewhere, KeyId)], [{}, { of: 'replica' }]);
      const AliasName = `alias/${KeyId}`;
      for (const each of [kms, elsewhere]) await each.send(new CreateAliasCommand({ AliasName, TargetKeyId: KeyId }));
    },
  },
  {
    name: 'replicas: there is one a Region',
    run: async (context) => {
      const { KeyId } = await pair(context);
      const again = context.kms.send(new ReplicateKeyCommand({ KeyId, ReplicaRegion: otherRegion }));
      await assert.rejects(again, { name: 'AlreadyExistsException' });
    },
  },
  {
    name: 'replicas: a replica, and a key of one Region, have none',
    run: async (context) => {
      const { KeyId } = await pair(context);
      const refusal = { name: 'UnsupportedOperationException' };
      const ofReplica = context.elsewhere.send(new ReplicateKeyCommand({ KeyId, ReplicaRegion: 'ap-south-1' }));
      await assert.rejects(ofReplica, refusal);
      const single = await createInKms(context.kms);
      const ofSingle = new ReplicateKeyCommand({ KeyId: single.KeyId, ReplicaRegion: otherRegion });
      await assert.rejects(context.kms.send(ofSingle), refusal);
    },
  },
  {
    name: 'replicas: rotation is turned on at the primary key, and shows at its replicas',
    run: async (context) => {
      const { kms, elsewhere } = context;
      const { KeyId } = await pair(context);
      const refusal = { name: 'UnsupportedOperationException' };
      await assert.rejects(elsewhere.send(new EnableKeyRotationCommand({ KeyId })), refusal);
      await kms.send(new EnableKeyRotationCommand({ KeyId }));
      await eventually('it shows', async () => {
        return (await elsewhere.send(new GetKeyRotationStatusCommand({ KeyId }))).KeyRotationEnabled;
      });
    },
  },
  {
    name: 'replicas: UpdatePrimaryRegion swaps the roles',
    run: async (context) => {
      const { kms, elsewhere } = context;
      const { KeyId, Arn } = await pair(context);
      await kms.send(new UpdatePrimaryRegionCommand({ KeyId, PrimaryRegion: otherRegion }));
      for (const each of [kms, elsewhere]) await atRest(each, KeyId);
      const roles = {
        PrimaryKey: { Arn: Arn.replace(serviceRegion, otherRegion), Region: otherRegion },
        ReplicaKeys: [{ Arn, Region: serviceRegion }],
      };
      assert.deepEqual(await configurationOf(kms, KeyId), { MultiRegionKeyType: 'REPLICA', ...roles });
      assert.deepEqual(await configurationOf(elsewhere, KeyId), { MultiRegionKeyType: 'PRIMARY', ...roles });
    },
  },
  {
    name: 'replicas: UpdatePrimaryRegion is for the primary key alone',
    run: async (context) => {
      const { KeyId } = await pair(context);
      const command = new UpdatePrimaryRegionCommand({ KeyId, PrimaryRegion: serviceRegion });
      await assert.rejects(context.elsewhere.send(command), { name: 'UnsupportedOperationException' });
    },
  },
  {
    name: 'replicas: Keyward makes one, and changes it by itself',
    run: async (context) => {
      const { call, kms, elsewhere } = context;
      const provider = await elsewhereProvider(context);
      const primary = await create(context, { multi_region: true, description: 'primary' });
      const asked = { provider, description: 'replica', tags: { of: 'replica' } };
      const { status, body: replica } = await call('POST', `/v1/keys/${primary.id}/replicas`, asked);
      assert.equal(status, 201, JSON.stringify(replica));
      assert.equal(replica.key_id, primary.key_id);
      const changed = await call('PATCH', `/v1/keys/${replica.id}`, { description: 'changed' });
      assert.equal(changed.status, 200, JSON.stringify(changed.body));
      assert.equal((await metadata(elsewhere, primary.key_id)).Description, 'changed');
      assert.equal((await metadata(kms, primary.key_id)).Description, 'primary');
    },
  },
  {
    name: 'replicas: Keyward makes a key and its replica in one call',
    run: async (context) => {
      const { call, kms, elsewhere } = context;
      const provider = await elsewhereProvider(context);
      const asked = { multi_region: true, description: 'together', tags: { of: 'both' }, replicate_to: [provider] };
      const { status, body: primary } = await call('POST', '/v1/keys', asked, { prefer: 'wait=30' });
      assert.equal(status, 201, JSON.stringify(primary));
      const KeyId = primary.key_id ?? '';
      const [replica, ...others] = primary.status.replicas;
      assert.deepEqual([others, replica?.provider, replica?.state], [[], provider, 'in_sync']);
      for (const [client, id] of [[kms, primary.id] as const, [elsewhere, replica?.id ?? ''] as const]) {
        assert.equal((await metadata(client, KeyId)).Description, 'together');
        assert.deepEqual(await tags(client, KeyId), { of: 'both', 'keyward:id': id });
      }
      assert.equal((await call('GET', `/v1/keys/${replica?.id}`)).body.replica_of, primary.id);
    },
  },
  {
    name: 'replicas: Keyward promotes one, and both records follow',
    run: async (context) => {
      const { call, elsewhere } = context;
      const provider = await elsewhereProvider(context);
      const primary = await create(context, { multi_region: true });
      const { body: replica } = await call('POST', `/v1/keys/${primary.id}/replicas`, { provider });
      const promoted = await call('POST', `/v1/keys/${replica.id}/promote`, undefined, { prefer: 'wait=30' });
      assert.equal(promoted.status, 200, JSON.stringify(promoted.body));
      assert.equal((await configurationOf(elsewhere, primary.key_id))?.MultiRegionKeyType, 'PRIMARY');
      assert.equal((await call('GET', `/v1/keys/${primary.id}`)).body.replica_of, replica.id);
    },
  },
  {
    name: 'replicas: Keyward refuses at a replica what its primary key alone has',
    run: async (context) => {
      const { call } = context;
      const provider = await elsewhereProvider(context);
      const primary = await create(context, { multi_region: true });
      const { body: replica } = await call('POST', `/v1/keys/${primary.id}/replicas`, { provider });
      const refused = await call('PATCH', `/v1/keys/${replica.id}`, { enable_key_rotation: true });
      assert.equal(refused.status, 422, JSON.stringify(refused.body));
      // With its ARN, where the KMS tells a replica which that is.
      assert.match(JSON.stringify(refused.body), /from its primary key/);
    },
  },
];

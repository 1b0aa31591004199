import { DescribeKeyCommand, type KMSClient, ListAliasesCommand } from '@aws-sdk/client-kms';
import { test } from 'tap';
import type { Key } from '../../src/schemas/key.ts';
import { readReport, resume, type Stage, setStage } from '../support/recovery-drill.ts';
import { eventually, kmsClient } from '../support/service.ts';

const fieldsOf = (keys: { id: string; differences: { field: string }[] }[], { id }: Key) =>
  keys.find((key) => key.id === id)?.differences.map(({ field }) => field);

/** Which key each alias points at. */
async function aliasesIn(kms: KMSClient): Promise<Record<string, string | undefined>> {
  const { Aliases = [] } = await kms.send(new ListAliasesCommand({}));
  return Object.fromEntries(Aliases.map(({ AliasName = '', TargetKeyId }) => [AliasName, TargetKeyId]));
}

async function familyIn(kms: KMSClient, key: Key) {
  const { KeyMetadata } = await kms.send(new DescribeKeyCommand({ KeyId: key.key_id ?? '' }));
  const { MultiRegionKeyType, ReplicaKeys = [] } = KeyMetadata?.MultiRegionConfiguration ?? {};
  return { type: MultiRegionKeyType, replicas: ReplicaKeys.map(({ Region }) => Region).sort() };
}

async function settled({ call }: Stage, { id }: Pick<Key, 'id'>): Promise<Key> {
  return eventually(`${id} is in sync`, async () => {
    const { body } = await call('GET', `/v1/keys/${id}`);
    return body.status.state === 'in_sync' && body;
  });
}

test('a backup that is put back moves no alias, makes no replica twice and promotes none', async (t) => {
  const stage = await setStage(t);
  const { call, control, kms } = stage;
  const regions = { eu: 'eu-west-1', ap: 'ap-south-1' };
  for (const [name, region] of Object.entries(regions)) await call('POST', '/v1/providers', { name, region });
  const make = async (body: object) => (await call('POST', '/v1/keys', body)).body;
  const [app, renamed] = [await make({ aliases: ['alias/app'] }), await make({ aliases: ['alias/old'] })];
  const [primary, promoted] = [await make({ multi_region: true }), await make({ multi_region: true })];
  const { body: heir } = await call('POST', `/v1/keys/${promoted.id}/replicas`, { provider: 'eu' });
  await settled(stage, heir);
  await control.fault({ operation: '*', kind: 'reset_before_effect', times: null });
  const asked = { provider: 'eu', description: 'accepted' };
  const { body: accepted } = await call('POST', `/v1/keys/${primary.id}/replicas`, asked, { prefer: 'respond-async' });
  await stage.backUp();

  await control.clearFaults();
  const replica = await settled(stage, accepted);
  const taken = await call('POST', '/v1/keys?take_aliases=true', { aliases: ['alias/app'] });
  t.equal(taken.status, 201);
  t.equal((await call('PATCH', `/v1/keys/${renamed.id}`, { aliases: ['alias/new'] })).status, 200);
  t.equal((await call('POST', `/v1/keys/${heir.id}/promote`)).status, 200);
  const { body: later } = await call('POST', `/v1/keys/${heir.id}/replicas`, { provider: 'ap' });
  await settled(stage, later);
  const eu = kmsClient(stage.kmsUrl, '111122223333', regions.eu);
  t.teardown(() => eu.destroy());
  const inKms = async () => ({
    aliases: await aliasesIn(kms),
    families: [await familyIn(kms, primary), await familyIn(kms, promoted), await familyIn(eu, heir)],
  });
  const before = await inKms();
  t.match(before.aliases, { 'alias/app': taken.body.key_id, 'alias/new': renamed.key_id });
  t.match(before.families, [
    { type: 'PRIMARY', replicas: ['eu-west-1'] },
    { type: 'REPLICA' },
    { type: 'PRIMARY', replicas: ['ap-south-1', 'us-east-1'] },
  ]);
  await control.clear();
  await stage.putBack();

  const { keys, writes } = await readReport(stage);
  t.same(writes, [], 'nothing was written to KMS');
  t.same(fieldsOf(keys, app), ['aliases.alias/app']);
  t.same(fieldsOf(keys, renamed)?.sort(), ['aliases.alias/new', 'aliases.alias/old']);
  t.match(await resume(stage, 'all', 'observed'), { status: 202 });
  await eventually('nothing is held', async () => {
    return !(await call<{ held: boolean }>('GET', '/v1/recovery')).body.held;
  });
  for (const key of [app, renamed, primary, promoted, heir, replica]) await settled(stage, key);
  t.same(await inKms(), before, 'KMS is as it was');
  const show = async ({ id }: Key) => (await call('GET', `/v1/keys/${id}`)).body;
  t.match(await show(app), { aliases: [] });
  t.match(await show(renamed), { aliases: ['alias/new'] });
  t.match(await show(replica), { arn: replica.arn, replica_of: primary.id });
  t.match(await show(heir), { replica_of: null });
  t.match(await show(promoted), { replica_of: heir.id });
});

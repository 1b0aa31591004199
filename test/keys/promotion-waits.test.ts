import { DescribeKeyCommand } from '@aws-sdk/client-kms';
import { test } from 'tap';
import { startWithRegions } from '../support/regions.ts';
import { eventually } from '../support/service.ts';

const wait = { prefer: 'wait=30' };
const away = { prefer: 'respond-async' };
type Revisions = { items: { origin: string; outcome: string }[] };

test('a change that comes while a promotion waits brings it along, and each says how it ended', async (t) => {
  const { call, eu, control } = await startWithRegions(t);
  const { body: primary } = await call('POST', '/v1/keys', { multi_region: true });
  const { body: replica } = await call('POST', `/v1/keys/${primary.id}/replicas`, { provider: 'eu' }, wait);
  const path = `/v1/keys/${replica.id}`;
  const outcomes = async () => {
    const { items } = (await call<Revisions>('GET', `${path}/revisions`)).body;
    return items.map(({ origin, outcome }) => `${origin} ${outcome}`);
  };
  const roleIn = async () => {
    const { KeyMetadata } = await eu.send(new DescribeKeyCommand({ KeyId: primary.key_id ?? '' }));
    return KeyMetadata?.MultiRegionConfiguration?.MultiRegionKeyType;
  };
  const promoteLater = async () => {
    await control.fault({ operation: 'UpdatePrimaryRegion', kind: 'throttle', times: null });
    t.equal((await call('POST', `${path}/promote`, undefined, away)).status, 202);
    await eventually('it waits', async () => {
      return (await call('GET', path)).body.status.error?.code === 'ThrottlingException';
    });
  };

  await promoteLater();
  await control.fault({ operation: 'PutKeyPolicy', kind: 'error', type: 'LimitExceededException', message: 'no' });
  const policy = {
    Version: '2012-10-17',
    Statement: [{ Effect: 'Allow', Principal: '*', Action: 'kms:*', Resource: '*' }],
  };
  t.equal((await call('PATCH', path, { policy }, wait)).status, 422);
  await control.clearFaults();
  await eventually('it is settled', async () => (await call('GET', path)).body.status.state === 'in_sync');
  t.same(await outcomes(), ['revert held', 'update refused', 'promote refused', 'create held'], 'both are taken back');
  t.equal(await roleIn(), 'REPLICA');

  await promoteLater();
  t.equal((await call('PATCH', path, { description: 'along' }, away)).status, 202);
  await control.clearFaults();
  await eventually('it is settled', async () => (await call('GET', path)).body.status.state === 'in_sync');
  t.match((await call('GET', path)).body, { replica_of: null, description: 'along' });
  t.same((await outcomes()).slice(0, 2), ['update held', 'promote held']);
  t.equal(await roleIn(), 'PRIMARY');
});

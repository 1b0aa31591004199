import { test } from 'tap';
import type { Key } from '../../src/schemas/key.ts';
import type { Plan } from '../../src/schemas/plan.ts';
import { startWithRegions } from '../support/regions.ts';
import { eventually } from '../support/service.ts';

const wait = { prefer: 'wait=30' };
const away = { prefer: 'respond-async' };

test('what is said of a replica tells of the call that is its own', async (t) => {
  const { call, control } = await startWithRegions(t, { SETTLE_SECONDS: '0', WRITE_DEADLINE_SECONDS: '6' });
  const { body: primary } = await call('POST', '/v1/keys', { multi_region: true });
  const replicas = `/v1/keys/${primary.id}/replicas`;
  const errorOf = ({ id }: Key, code: string) =>
    eventually(code, async () => {
      const { status } = (await call('GET', `/v1/keys/${id}`)).body;
      return status.error?.code === code && status.error;
    });

  await control.fault({ operation: 'ReplicateKey', kind: 'reset_before_effect' });
  const { body: lost } = await call('POST', replicas, { provider: 'eu' }, away);
  t.match(await errorOf(lost, 'CreateKeyOutcomeUnknown'), {
    operation: 'ReplicateKey',
    message: /earlier ReplicateKey/,
  });
  await eventually(
    'it is made',
    async () => (await call('GET', `/v1/keys/${lost.id}`)).body.status.state === 'in_sync',
  );

  await control.fault({ operation: 'ReplicateKey', kind: 'throttle', times: null });
  const own = { provider: 'ap', aliases: ['alias/own'], is_enabled: false };
  const { body: unmade } = await call('POST', replicas, own, away);
  const { body: plan } = await call<Plan>('POST', `/v1/keys/${unmade.id}/plan`, { description: 'planned' });
  t.match(plan.steps, [
    {
      operation: 'ReplicateKey',
      parameters: { KeyId: primary.key_id, ReplicaRegion: 'ap-south-1', Description: 'planned' },
    },
    { operation: 'CreateAlias' },
    { operation: 'DisableKey' },
  ]);
  t.equal(plan.steps.length, 3);
  await control.clearFaults();
  await eventually(
    'it is made',
    async () => (await call('GET', `/v1/keys/${unmade.id}`)).body.status.state === 'in_sync',
  );

  await control.fault({ operation: 'UpdatePrimaryRegion', kind: 'throttle', times: null });
  t.equal((await call('POST', `/v1/keys/${lost.id}/promote`, undefined, away)).status, 202);
  await errorOf(lost, 'ThrottlingException');
  await control.loseKey(primary.arn);
  await eventually('the primary is lost', async () => {
    const { body } = await call('POST', `/v1/keys/${primary.id}/refresh`, undefined, wait);
    return body.status.state === 'failed';
  });
  t.match(await errorOf(lost, 'NoPrimaryKey'), { operation: 'UpdatePrimaryRegion', retryable: false });
});

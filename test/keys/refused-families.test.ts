import { test } from 'tap';
import type { Key } from '../../src/schemas/key.ts';
import { allKeyIds } from '../support/kms-truth.ts';
import { startWithRegions } from '../support/regions.ts';
import { eventually } from '../support/service.ts';

const wait = { prefer: 'wait=30' };
const refusal = { kind: 'error', type: 'LimitExceededException', message: 'full' };

test('replicas of a key that KMS made and did not hold as declared end with it', async (t) => {
  const { call, eu, control } = await startWithRegions(t);
  await control.fault({ operation: 'EnableKeyRotation', ...refusal, type: 'UnsupportedOperationException' });
  const body = { multi_region: true, enable_key_rotation: true, replicate_to: ['eu'] };
  const refused = await call('POST', '/v1/keys', body, wait);
  t.equal(refused.status, 422);
  const ended = await eventually(
    'the replica says how it ended',
    async () => {
      const { items } = (await call<{ items: Key[] }>('GET', '/v1/keys')).body;
      const replica = items.find(({ provider }) => provider === 'eu');
      return replica === undefined || (replica.status.state === 'failed' && replica);
    },
    40_000,
  );
  t.match(ended, {
    key_id: null,
    status: { error: { code: 'NoPrimaryKey', retryable: false, message: /to be deleted/ } },
  });
  t.notOk(
    (await control.calls()).some(({ operation }) => operation === 'ReplicateKey'),
    'KMS is not asked in vain',
  );
  t.same(await allKeyIds(eu), []);
  const key = await call('GET', `/v1/keys/${refused.body.id}`);
  t.match(key.body.status, { state: 'pending_deletion', error: { operation: 'EnableKeyRotation' } });
  t.equal((await call('DELETE', `/v1/keys/${(ended as Key).id}`)).status, 204);
});

test('a create that fails after its wait keeps the names that it took until it is deleted, and gives them back then', async (t) => {
  const { call, control } = await startWithRegions(t);
  const { body: owner } = await call('POST', '/v1/keys', { aliases: ['alias/taken'] });
  await control.fault({ operation: 'CreateKey', kind: 'throttle', times: 2 }, { operation: 'CreateKey', ...refusal });
  const away = { prefer: 'respond-async' };
  const { body: taker } = await call('POST', '/v1/keys?take_aliases=true', { aliases: ['alias/taken'] }, away);
  const failed = await eventually('it fails', async () => {
    const { body } = await call('GET', `/v1/keys/${taker.id}`);
    return body.status.state === 'failed' && body;
  });
  t.same(failed.aliases, ['alias/taken']);
  t.same((await call('GET', `/v1/keys/${owner.id}`)).body.aliases, []);
  t.equal((await call('DELETE', `/v1/keys/${taker.id}`)).status, 204);
  await eventually('its owner has it again', async () => {
    const { body } = await call('POST', `/v1/keys/${owner.id}/sync`, undefined, wait);
    return body.aliases?.[0] === 'alias/taken' && body.status.aliases?.[0] === 'alias/taken';
  });
});

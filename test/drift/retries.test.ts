import { UpdateKeyDescriptionCommand } from '@aws-sdk/client-kms';
import { test } from 'tap';
import { metadata, onDemandRotations, tags } from '../support/kms-truth.ts';
import { addProvider } from '../support/providers.ts';
import { eventually, startService } from '../support/service.ts';

test('what is tried again puts no drift right that is only to be reported', async (t) => {
  const { call, kms, control } = await startService(t, { SETTLE_SECONDS: '0' });
  await addProvider(call, { name: 'ours', region: 'us-east-1', default_tags: { old: '1' } });
  const drifted = async (provider: string) => {
    const declared = { provider, description: 'mine', drift_policy: 'report' };
    const { body: key } = await call('POST', '/v1/keys', declared);
    const KeyId = key.key_id ?? '';
    await kms.send(new UpdateKeyDescriptionCommand({ KeyId, Description: 'theirs' }));
    t.equal((await call('POST', `/v1/keys/${key.id}/refresh`)).body.status.state, 'drifted');
    return { id: key.id, KeyId };
  };

  t.test('a rotation that KMS throttles', async (t) => {
    const { id, KeyId } = await drifted('default');
    await control.fault({ operation: 'RotateKeyOnDemand', kind: 'throttle' });
    t.equal((await call('POST', `/v1/keys/${id}/rotate`)).status, 200);
    t.equal(await onDemandRotations(kms, KeyId), 1);
    t.equal((await metadata(kms, KeyId)).Description, 'theirs');
  });

  t.test('a change of the provider of which KMS throttles the second half', async (t) => {
    const { id, KeyId } = await drifted('ours');
    await control.fault({ operation: 'TagResource', kind: 'throttle' });
    await call('PATCH', '/v1/providers/ours', { default_tags: { old: null, new: '1' } });
    await eventually('KMS has the tags', async () => (await tags(kms, KeyId))['new'] === '1');
    await eventually('it is told', async () => (await call('GET', `/v1/keys/${id}`)).body.status.state === 'drifted');
    t.same(await tags(kms, KeyId), { new: '1', 'keyward:id': id });
    t.equal((await metadata(kms, KeyId)).Description, 'theirs');
  });
});

import { CreateKeyCommand } from '@aws-sdk/client-kms';
import { test } from 'tap';
import { freezeAt } from '../support/frozen.ts';
import { metadata } from '../support/kms-truth.ts';
import { eventually, startService } from '../support/service.ts';

test('a key imported a moment after it was made, which KMS does not show to the next read, is not taken for deleted', async (t) => {
  const service = await startService(t, { SETTLE_SECONDS: '0' });
  const { call, kms, control } = service;
  const { KeyMetadata } = await kms.send(new CreateKeyCommand({}));
  const KeyId = KeyMetadata?.KeyId ?? '';
  const first = freezeAt(service, 'lease-taken');
  const { body: key } = await call('POST', '/v1/keys/import', { key_id: KeyId }, { prefer: 'respond-async' });
  await first.frozen;
  const notThere = { kind: 'error', type: 'NotFoundException', message: 'Key does not exist' };
  await control.fault({ operation: 'DescribeKey', ...notThere, times: 2 });
  const deleted = call('DELETE', `/v1/keys/${key.id}`);
  const get = async () => (await call('GET', `/v1/keys/${key.id}`)).body;
  await eventually('its deletion is asked for', async () => (await get()).status.generation === 2);
  first.wake();
  t.equal((await deleted).status, 202);
  t.match((await get()).status, { state: 'pending_deletion', key_state: 'PendingDeletion' });
  t.equal((await metadata(kms, KeyId)).KeyState, 'PendingDeletion');
});

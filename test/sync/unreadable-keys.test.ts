import { CreateKeyCommand } from '@aws-sdk/client-kms';
import { test } from 'tap';
import { sweepUnmanagedKeys } from '../../src/services/unmanaged/sweep.ts';
import { allKeyIds } from '../support/kms-truth.ts';
import { eventually, startService } from '../support/service.ts';

const denied = { kind: 'error', type: 'AccessDeniedException', message: 'No.' };

test('a CreateKey without an answer, and keys that KMS will not let Keyward read', async (t) => {
  const { call, control, kms, services } = await startService(t, { WRITE_DEADLINE_SECONDS: '6', SETTLE_SECONDS: '0' });
  const get = async (id: string) => (await call('GET', `/v1/keys/${id}`)).body;
  const untilHeld = (id: string) =>
    eventually('it is in sync', async () => {
      const key = await get(id);
      return key.status.state === 'in_sync' && key;
    });

  for (const operation of ['DescribeKey', 'ListResourceTags']) {
    t.test(`makes no second key while ${operation} is refused`, async (t) => {
      const before = await allKeyIds(kms);
      await control.fault(
        { operation: 'CreateKey', kind: 'reset_after_effect' },
        { operation, ...denied, times: null },
      );
      const { body } = await call('POST', '/v1/keys', {}, { prefer: 'respond-async' });
      const told = await eventually('the key tells', async () => {
        const key = await get(body.id);
        return key.status.error?.code === 'KeyNotReadable' && key;
      });
      const [made, ...others] = (await allKeyIds(kms)).filter((keyId) => !before.includes(keyId));
      t.same(others, []);
      t.match(told.status.error, { retryable: true, message: made });
      await control.clearFaults();
      t.equal((await untilHeld(body.id)).key_id, made);
    });
  }

  t.test('is not held up by one that a sweep had seen before', async (t) => {
    await kms.send(new CreateKeyCommand({ Description: 'shut' }));
    await sweepUnmanagedKeys(services);
    await control.fault(
      { operation: 'CreateKey', kind: 'reset_before_effect' },
      { operation: 'DescribeKey', ...denied, times: null },
    );
    const { body } = await call('POST', '/v1/keys', {}, { prefer: 'respond-async' });
    t.ok((await untilHeld(body.id)).key_id);
  });
});

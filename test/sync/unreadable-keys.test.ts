import { CreateKeyCommand } from '@aws-sdk/client-kms';
import { test } from 'tap';
import type { Event } from '../../src/schemas/history.ts';
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

  const untilUnreadable = (id: string) =>
    eventually('the key tells', async () => {
      const key = await get(id);
      return key.status.error?.code === 'KeyNotReadable' && key;
    });

  t.test('goes on when somebody says that it is not that one', async (t) => {
    const { KeyMetadata } = await kms.send(new CreateKeyCommand({ Description: 'theirs' }));
    const theirs = KeyMetadata?.KeyId ?? '';
    await control.fault(
      { operation: 'CreateKey', kind: 'reset_before_effect' },
      { operation: 'DescribeKey', ...denied, times: null },
    );
    const { body } = await call('POST', '/v1/keys', {}, { prefer: 'respond-async' });
    t.match((await untilUnreadable(body.id)).status.error?.message, theirs);
    const resolve = (key_id: string, is_mine: boolean) =>
      call('POST', `/v1/keys/${body.id}/resolve`, { key_id, is_mine }, { prefer: 'respond-async' });
    t.equal((await resolve('00000000-0000-4000-8000-000000000000', false)).status, 422, 'not in question');
    // It is the only one that the search meets: those of the tests before are on record, or known to be old.
    for (const keyId of (await get(body.id)).status.error?.message.match(/[0-9a-f-]{36}/g) ?? []) {
      t.equal((await resolve(keyId, false)).status, 202);
    }
    await control.clearFaults();
    const key = await untilHeld(body.id);
    t.not(key.key_id, theirs);
    t.equal((await resolve(theirs, false)).status, 200, 'as was said before');
    t.equal((await resolve(theirs, true)).status, 409, 'nothing is in question any more');
    const { body: events } = await call<{ items: Event[] }>('GET', `/v1/keys/${body.id}/events?limit=50`);
    const said = events.items.filter(({ type }) => type === 'key.resolved');
    t.match(said.at(-1), { actor: 'anonymous', data: { is_mine: false } });
    await sweepUnmanagedKeys(services);
    t.match((await call<{ items: object[] }>('GET', '/v1/unmanaged-keys')).body.items, [{ description: 'theirs' }]);
  });

  t.test('takes the one that somebody says it is', async (t) => {
    const before = await allKeyIds(kms);
    await control.fault(
      { operation: 'CreateKey', kind: 'reset_after_effect' },
      { operation: 'ListResourceTags', ...denied, times: null },
    );
    const { body } = await call('POST', '/v1/keys', {}, { prefer: 'respond-async' });
    await untilUnreadable(body.id);
    const [made = ''] = (await allKeyIds(kms)).filter((keyId) => !before.includes(keyId));
    const said = { key_id: made, is_mine: true };
    const { status, body: key } = await call('POST', `/v1/keys/${body.id}/resolve`, said, { prefer: 'wait=0' });
    t.equal(status, 202);
    t.equal(key.key_id, made);
    await control.clearFaults();
    t.equal((await untilHeld(body.id)).key_id, made);
    t.same(
      (await allKeyIds(kms)).filter((keyId) => !before.includes(keyId)),
      [made],
    );
  });

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

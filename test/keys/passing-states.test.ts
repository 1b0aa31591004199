import { test } from 'tap';
import { startWithRegions } from '../support/regions.ts';
import { eventually } from '../support/service.ts';

/** Seconds: longer than a call is tried which KMS refuses for another state. */
const seconds = 14;
const wait = { prefer: 'wait=60' };
const away = { prefer: 'respond-async' };

test('what KMS refuses while a key is Updating or Creating goes on when that is over', {
  buffered: true,
}, async (t) => {
  const { call, control } = await startWithRegions(t);
  const { body: primary } = await call('POST', '/v1/keys', { multi_region: true });
  const { body: replica } = await call('POST', `/v1/keys/${primary.id}/replicas`, { provider: 'eu' }, wait);
  const get = async ({ id }: { id: string }) => (await call('GET', `/v1/keys/${id}`)).body;
  const untilOver = async (what: string, key: { id: string }) => {
    const waiting = await eventually(`${what}: it says for what it waits`, async () => {
      const { error, state } = (await get(key)).status;
      return error?.code === 'KeyStateUntold' ? { error, state } : state === 'failed' && { error, state };
    });
    t.match(waiting, { error: { code: 'KeyStateUntold', retryable: true, message: /is (Updating|Creating)/ } }, what);
    return eventually(`${what}: it is done`, async () => {
      const body = await get(key);
      return body.status.state === 'in_sync' && body;
    });
  };

  await control.settings({ key_states: [{ key_id: primary.arn, state: 'Updating', seconds }] });
  const asked = await call('POST', `/v1/keys/${primary.id}/replicas`, { provider: 'ap' }, away);
  t.match((await untilOver('ReplicateKey', asked.body)).status, { error: null });
  t.ok((await control.calls()).filter(({ operation, error }) => operation === 'ReplicateKey' && error).length >= 4);

  await control.settings({ key_states: [{ key_id: primary.arn, state: 'Creating', seconds }] });
  t.equal((await call('POST', `/v1/keys/${replica.id}/promote`, undefined, away)).status, 202);
  t.match(await untilOver('UpdatePrimaryRegion', replica), { replica_of: null });
});

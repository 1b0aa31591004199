import { test } from 'tap';
import { allKeyIds, tags } from '../support/kms-truth.ts';
import { startBackends } from '../support/process.ts';
import { eventually, kmsClient, kmsControl, startService } from '../support/service.ts';

test('a key that was being made under another OWNERSHIP_TAG is found, and is neither made twice nor refused', async (t) => {
  const { databaseUrl, kmsUrl } = await startBackends(t);
  const [kms, control] = [kmsClient(kmsUrl), kmsControl(kmsUrl)];
  t.teardown(() => kms.destroy());
  const times = { WRITE_DEADLINE_SECONDS: '6', SETTLE_SECONDS: '1', LEASE_SECONDS: '2' };
  const environment = { DATABASE_URL: databaseUrl, KMS_ENDPOINT: kmsUrl, ...times };
  const before = await startService(t, environment);
  const create = (body: object) => before.call('POST', '/v1/keys', body, { prefer: 'respond-async' });
  await control.fault({ operation: 'EnableKeyRotation', kind: 'internal_error', times: null });
  const { body: made } = await create({ enable_key_rotation: true });
  await eventually('its CreateKey was answered', async () => {
    const { body } = await before.call('GET', `/v1/keys/${made.id}`);
    return body.status.error?.operation === 'EnableKeyRotation';
  });
  await control.fault({ operation: 'CreateKey', kind: 'reset_after_effect' });
  const { body: unknown } = await create({});
  await eventually('its CreateKey has no answer', async () => {
    const { body } = await before.call('GET', `/v1/keys/${unknown.id}`);
    return body.status.error !== null;
  });
  await before.stopWork();
  await control.clearFaults();

  const { call } = await startService(t, { ...environment, OWNERSHIP_TAG: 'acme:key' });
  for (const { id } of [made, unknown]) {
    const key = await eventually('it is in sync', async () => {
      const { body } = await call('GET', `/v1/keys/${id}`);
      return ['in_sync', 'failed'].includes(body.status.state) && body;
    });
    t.match(key.status, { state: 'in_sync', error: null });
    t.same(await tags(kms, key.key_id ?? ''), { 'acme:key': id }, 'the tag has the new name');
  }
  t.equal((await allKeyIds(kms)).length, 2, 'one key for each record');
});

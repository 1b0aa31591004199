import { test } from 'tap';
import { freezeAt } from '../support/frozen.ts';
import { ownPolicy } from '../support/kms-truth.ts';
import { eventually, startService } from '../support/service.ts';

test('a change that comes while an earlier one fails again is given as many tries as any', async (t) => {
  const service = await startService(t, { SETTLE_SECONDS: '0' });
  const { call, control } = service;
  const { body: key } = await call('POST', '/v1/keys', {});
  const path = `/v1/keys/${key.id}`;
  const get = async () => (await call('GET', path)).body;
  await control.fault({ operation: 'PutKeyPolicy', kind: 'throttle', times: 4 });
  await call('PATCH', path, { policy: ownPolicy('New') }, { prefer: 'respond-async' });
  await eventually('it has failed three times', async () => (await get()).status.error?.attempts === 3);
  const fourth = freezeAt(service, 'write-failed');
  await fourth.frozen;
  // For a reason that may pass: the principal was made a moment ago.
  const message = 'Policy contains a statement with one or more invalid principals.';
  await control.fault({ operation: 'PutKeyPolicy', kind: 'error', type: 'MalformedPolicyDocumentException', message });
  const patched = call('PATCH', path, { description: 'new' });
  await eventually('the change is recorded', async () => (await get()).status.generation === 3);
  fourth.wake();
  t.equal((await patched).status, 200);
  t.match(await get(), { description: 'new', policy: ownPolicy('New'), status: { generation: 3, state: 'in_sync' } });
});

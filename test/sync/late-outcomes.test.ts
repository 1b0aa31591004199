import { test } from 'tap';
import { freezeAt, loseLease } from '../support/frozen.ts';
import { metadata } from '../support/kms-truth.ts';
import { eventually, startService } from '../support/service.ts';

test('a worker that wakes late with the answer to an old write does not make a newer change look undone', async (t) => {
  const service = await startService(t, { SETTLE_SECONDS: '60' });
  const { call, kms } = service;
  // What is then taken for drift would be taken over.
  const { body: key } = await call('POST', '/v1/keys', { description: 'zero', drift_policy: 'adopt' });
  const path = `/v1/keys/${key.id}`;
  const sleeper = freezeAt(service, 'after-send');
  await call('PATCH', path, { description: 'one' }, { prefer: 'respond-async' });
  await sleeper.frozen;
  await loseLease(service, key.id);
  await eventually('its successor is done', async () => (await call('GET', path)).body.status.state === 'in_sync');
  t.equal((await call('PATCH', path, { description: 'two' })).status, 200);
  const closed = freezeAt(service, 'write-closed');
  sleeper.wake();
  await closed.frozen;
  closed.wake();
  t.equal((await call('PATCH', path, { description: 'one' })).status, 200);
  t.equal((await metadata(kms, key.key_id ?? '')).Description, 'one');
});

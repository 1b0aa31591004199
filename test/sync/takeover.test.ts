import { UpdateKeyDescriptionCommand } from '@aws-sdk/client-kms';
import { test } from 'tap';
import { freezeAt } from '../support/frozen.ts';
import { metadata } from '../support/kms-truth.ts';
import { eventually, startService } from '../support/service.ts';

/** Milliseconds in which the key of a worker that falls silent is to be taken over. */
const takeoverTime = 30_000;
const respondAsync = { prefer: 'respond-async' };

test('a key is taken over in time, though it was not due when its worker took it', async (t) => {
  const service = await startService(t, { SETTLE_SECONDS: '0', LEASE_SECONDS: '5' });
  const { call, kms, services } = service;
  const { body: key } = await call('POST', '/v1/keys', { description: 'mine' });
  const KeyId = key.key_id ?? '';
  await kms.send(new UpdateKeyDescriptionCommand({ KeyId, Description: 'theirs' }));
  const sleeper = freezeAt(service, 'writes-recorded');
  // The refresh that finds the drift passes the key on to a sync of its own, and has it due again in a minute.
  await services.database.prisma.$executeRaw`UPDATE work SET due_at = now() WHERE key_ref = ${key.id}::uuid`;
  await sleeper.frozen;
  // Its renewals stand still as well.
  await services.database.prisma.$executeRaw`
    UPDATE work SET lease_token = gen_random_uuid(), lease_until = now() - interval '1 second' WHERE key_ref = ${key.id}::uuid`;
  await eventually(
    'another worker puts the drift right',
    async () => (await metadata(kms, KeyId)).Description === 'mine',
    takeoverTime,
  );
  sleeper.wake();
});

test('a sync that stands still loses its key, however alive its worker is', async (t) => {
  const service = await startService(t, { SETTLE_SECONDS: '0', LEASE_SECONDS: '2', WORKER_CONCURRENCY: '1' });
  const { call, kms, services } = service;
  services.times.standstill = 1000;
  const { body: key } = await call('POST', '/v1/keys', { description: 'before' });
  const sleeper = freezeAt(service, 'writes-recorded');
  const { body: accepted } = await call('PATCH', `/v1/keys/${key.id}`, { description: 'after' }, respondAsync);
  t.equal(accepted.status.state, 'updating');
  await sleeper.frozen;
  await eventually(
    'another sync carries the change out, in the place of the one that stands still',
    async () => (await metadata(kms, key.key_id ?? '')).Description === 'after',
    takeoverTime,
  );
  sleeper.wake();
});

test('a refresh that stands still loses its keys too, and each is looked at all the same', async (t) => {
  const service = await startService(t, { SETTLE_SECONDS: '0', LEASE_SECONDS: '2' });
  const { call, kms, services } = service;
  services.times.standstill = 1000;
  const create = async () => (await call('POST', '/v1/keys', { description: 'mine' })).body;
  const [healthy, drifted] = [await create(), await create()];
  const KeyId = drifted.key_id ?? '';
  await kms.send(new UpdateKeyDescriptionCommand({ KeyId, Description: 'theirs' }));
  // When the keys are looked at, and those of them that are well are on record.
  const sleeper = freezeAt(service, 'sync-recorded');
  await services.database.prisma.$executeRaw`
    UPDATE work SET due_at = now() WHERE key_ref IN (${healthy.id}::uuid, ${drifted.id}::uuid)`;
  await sleeper.frozen;
  await eventually(
    'the drift is put right by another',
    async () => (await metadata(kms, KeyId)).Description === 'mine',
    takeoverTime,
  );
  sleeper.wake();
});

import { test } from 'tap';
import type { FailurePoint } from '../../src/services/failure-points.ts';
import { freezeAt, loseLease } from '../support/frozen.ts';
import { allKeyIds } from '../support/kms-truth.ts';
import { eventually, startService } from '../support/service.ts';

// The successor has the row as it was before the late answer, and either reads the journal after it, or searches after it.
for (const at of ['lease-taken', 'search-begun'] as const) {
  test(`a CreateKey whose worker wakes late, its successor being at ${at}, ends in one key`, async (t) => {
    const { call, kms, control, services } = await startService(t, {
      WRITE_DEADLINE_SECONDS: '6',
      SETTLE_SECONDS: '0',
    });
    const { failurePoints, database } = services;
    const { pass } = failurePoints;
    const [sent, woken, reached, goesOn] = Array.from({ length: 4 }, () => Promise.withResolvers<void>());
    let isFirst = true;
    failurePoints.pass = async (point: FailurePoint) => {
      if (point === 'after-send' && isFirst) {
        isFirst = false;
        sent?.resolve();
        await woken?.promise;
      } else if (point === at && !isFirst) {
        reached?.resolve();
        await goesOn?.promise;
      }
      return pass(point);
    };
    if (at === 'search-begun') {
      const find = services.ownershipSearchFor;
      services.ownershipSearchFor = (way) => ({
        find: async (sought) => {
          reached?.resolve();
          await goesOn?.promise;
          return find(way).find(sought);
        },
      });
    }
    const { body: key } = await call('POST', '/v1/keys', {}, { prefer: 'respond-async' });
    await sent?.promise;
    // Long silent: its lease is over, and so is the time in which its call could land.
    await database.prisma.$executeRaw`UPDATE kms_writes SET lands_until = now() - interval '1 second'`;
    await database.prisma.$executeRaw`
      UPDATE work SET lease_token = gen_random_uuid(), lease_until = now() - interval '1 second', due_at = now()`;
    await reached?.promise;
    woken?.resolve();
    await eventually('the late answer is on record', async () => {
      return (await call('GET', `/v1/keys/${key.id}`)).body.key_id !== null;
    });
    goesOn?.resolve();
    const held = await eventually('it is in sync', async () => {
      const { body } = await call('GET', `/v1/keys/${key.id}`);
      return body.status.state === 'in_sync' && body;
    });
    t.same(await allKeyIds(kms), [held.key_id]);
    t.equal((await control.calls()).filter(({ operation }) => operation === 'CreateKey').length, 1);
  });
}

test('a new key whose maker freezes before the end of its sync is found by another, and proven by its maker later', async (t) => {
  const service = await startService(t, { SETTLE_SECONDS: '0' });
  const { call, services, control } = service;
  // The first key tells that this KMS keeps tags; from the second on a creation is recorded with the end of its sync.
  await call('POST', '/v1/keys', {});
  await control.clear();
  const sleeper = freezeAt(service, 'after-send');
  const { body: key } = await call('POST', '/v1/keys', { description: 'slow' }, { prefer: 'respond-async' });
  await sleeper.frozen;
  await loseLease(service, key.id);
  await eventually('another has found it', async () => {
    return (await call('GET', `/v1/keys/${key.id}`)).body.status.state === 'in_sync';
  });
  const made = async () => {
    const where = { key_ref: key.id, operation: 'CreateKey' };
    return (await services.database.prisma.kmsWrite.findFirstOrThrow({ where })).made_key_id;
  };
  t.equal(await made(), null, 'a tag proves nothing');
  sleeper.wake();
  await eventually('its maker tells', async () => (await made()) !== null);
  t.equal(await made(), (await call('GET', `/v1/keys/${key.id}`)).body.key_id);
  const calls = (await control.calls()).filter(({ operation }) => operation === 'CreateKey');
  t.equal(calls.length, 1);
  const { rows } = await services.database.pool.query("SELECT 1 FROM events WHERE type = 'key.stray'");
  t.equal(rows.length, 0);
});

test('a new key is on record also where a failover has lost that KMS was asked for it', async (t) => {
  const service = await startService(t, { SETTLE_SECONDS: '0' });
  const { call, services } = service;
  for (const order of ['first', 'second']) {
    const sleeper = freezeAt(service, 'after-send');
    const { body: key } = await call('POST', '/v1/keys', {}, { prefer: 'respond-async' });
    await sleeper.frozen;
    await services.database.prisma.kmsWrite.deleteMany({ where: { key_ref: key.id } });
    sleeper.wake();
    await eventually('it is in sync', async () => {
      return (await call('GET', `/v1/keys/${key.id}`)).body.status.state === 'in_sync';
    });
    const { rows } = await services.database.pool.query(
      "SELECT type FROM events WHERE type IN ('key.stray', 'key.found') AND key_ref = $1",
      [key.id],
    );
    t.same(rows, [], order);
  }
});

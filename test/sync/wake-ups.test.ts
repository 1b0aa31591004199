import { test } from 'tap';
import { eventually, startService } from '../support/service.ts';

test('a notification that is no wake-up, or that of another version, is passed over', async (t) => {
  const { call, services } = await startService(t, { SETTLE_SECONDS: '0' });
  const { body: key } = await call('POST', '/v1/keys', {});
  for (const payload of ['', 'nonsense', '{}', '[]', 'null', '{"id":"1","provider":"default"}']) {
    await services.database.pool.query("SELECT pg_notify('keyward_wake_ups', $1)", [payload]);
  }
  const { body } = await call('PATCH', `/v1/keys/${key.id}`, { description: 'after' });
  t.match(body, { description: 'after', status: { state: 'in_sync' } });
});

test('an intent whose COMMIT was answered by nobody is carried out at once, without the time of a lost call', async (t) => {
  const { call, services, control } = await startService(t, { SETTLE_SECONDS: '0' });
  await call('POST', '/v1/keys', {});
  const { prisma } = services.database;
  const transact = prisma.$transaction.bind(prisma) as (work: unknown) => Promise<unknown>;
  let isLost = false;
  Object.assign(prisma, {
    $transaction: async (work: unknown) => {
      const answer = await transact(work);
      if (isLost) return answer;
      isLost = true;
      throw Object.assign(new Error('Connection terminated unexpectedly'), { code: 'ECONNRESET' });
    },
  });
  t.equal((await call('POST', '/v1/keys', { description: 'lost' })).status, 503);
  await eventually(
    'the key is made',
    async () => (await prisma.key.findFirst({ where: { description: 'lost' } }))?.state === 'in_sync',
    10_000,
  );
  const made = (await control.calls()).filter(({ operation }) => operation === 'CreateKey');
  t.equal(made.length, 2);
});

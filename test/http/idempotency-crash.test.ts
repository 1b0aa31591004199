import { randomUUID } from 'node:crypto';
import { test } from 'tap';
import { freezeAt } from '../support/frozen.ts';
import { allKeyIds } from '../support/kms-truth.ts';
import { startService } from '../support/service.ts';

const ecc = { customer_master_key_spec: 'ECC_NIST_P256', key_usage: 'SIGN_VERIFY' };

test('a change whose process falls silent before it answers', async (t) => {
  const service = await startService(t, { SETTLE_SECONDS: '0' });
  const { call, kms, services } = service;
  const create = async () => (await call('POST', '/v1/keys', { description: 'first' })).body;
  /** The process that runs the request has been silent for so long that a repeat may run it. */
  const silence = (key: string) =>
    services.database.pool.query(
      "UPDATE idempotent_requests SET claimed_until = now() - interval '1 s' WHERE key = $1",
      [key],
    );

  t.test('and has recorded it: a repeat gets its answer, and records nothing', async (t) => {
    const changes = [
      { method: 'PATCH', route: '', body: { description: 'second' }, ifMatch: '"1"' },
      { method: 'POST', route: '/replace', body: ecc },
      { method: 'DELETE', route: '', body: undefined },
    ];
    for (const { method, route, body, ifMatch } of changes) {
      const { id } = await create();
      const headers = { 'idempotency-key': randomUUID(), ...(ifMatch === undefined ? {} : { 'if-match': ifMatch }) };
      const sleeper = freezeAt(service, 'intent-recorded');
      const lost = call(method, `/v1/keys/${id}${route}`, body, headers);
      await sleeper.frozen;
      const next = await call('POST', `/v1/keys/${id}/refresh`);
      t.equal(next.body.status.generation, 2);
      await silence(headers['idempotency-key']);
      const repeat = await call(method, `/v1/keys/${id}${route}`, body, headers);
      t.ok(repeat.status < 300, `${method} ${route}: ${repeat.status}`);
      t.equal(repeat.body.status.generation, 2);
      sleeper.wake();
      t.ok((await lost).status < 300);
    }
  });

  t.test('and has not: it records nothing after a repeat has', async (t) => {
    const { id } = await create();
    const headers = { 'idempotency-key': randomUUID() };
    const { prisma } = services.database;
    const begun = Promise.withResolvers<void>();
    const goesOn = Promise.withResolvers<void>();
    const { $transaction } = prisma;
    Object.assign(prisma, {
      $transaction: async (...parameters: Parameters<typeof $transaction>) => {
        Object.assign(prisma, { $transaction });
        begun.resolve();
        await goesOn.promise;
        return $transaction.apply(prisma, parameters);
      },
    });
    const lost = call('PATCH', `/v1/keys/${id}`, { description: 'second' }, headers);
    await begun.promise;
    await silence(headers['idempotency-key']);
    t.equal((await call('PATCH', `/v1/keys/${id}`, { description: 'second' }, headers)).status, 200);
    t.equal((await call('PATCH', `/v1/keys/${id}`, { description: 'third' })).status, 200);
    goesOn.resolve();
    t.equal((await lost).status, 200, 'answered with what the repeat has recorded');
    const { body: key } = await call('GET', `/v1/keys/${id}`);
    t.match(key, { description: 'third', status: { generation: 3 } });
    t.ok((await allKeyIds(kms)).includes(key.key_id ?? ''));
  });
});

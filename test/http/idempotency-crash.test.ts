import { randomUUID } from 'node:crypto';
import { CreateKeyCommand } from '@aws-sdk/client-kms';
import { test } from 'tap';
import { freezeAt } from '../support/frozen.ts';
import { allKeyIds } from '../support/kms-truth.ts';
import { eventually, startService } from '../support/service.ts';

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

  t.test('an apply in the middle of its lines: a repeat goes on, and no line is carried out twice', async (t) => {
    const { KeyMetadata: found } = await kms.send(new CreateKeyCommand({}));
    const changed = await Promise.all(Array.from({ length: 8 }, create));
    const lines = [
      ...changed.map(({ id, key_id }) => ({ id, key_id, description: 'from a line' })),
      { id: randomUUID(), description: 'made' },
      { id: randomUUID(), key_id: found?.KeyId, description: found?.Description },
    ];
    const key = randomUUID();
    const headers = { 'idempotency-key': key, 'content-type': 'application/x-ndjson', prefer: 'wait=2' };
    const text = lines.map((line) => JSON.stringify(line)).join('\n');
    const apply = () => call<string>('POST', '/v1/keys/apply', text, headers);
    const before = (await allKeyIds(kms)).length;
    const sleepers = changed.map(() => freezeAt(service, 'intent-recorded'));
    const lost = apply();
    await Promise.all(sleepers.map(({ frozen }) => frozen));
    await silence(key);
    const outcomes = ({ body }: { body: string }) => [...body.matchAll(/"outcome":"(\w+)"/g)].map(([, word]) => word);
    t.same(outcomes(await apply()).slice(8), ['created', 'imported']);
    for (const { wake } of sleepers) wake();
    t.notOk(outcomes(await lost).includes('failed'), 'what the repeat has recorded is its own');
    await eventually('all is carried out', async () => {
      const { body } = await call<{ items: object[] }>('GET', '/v1/keys?state=updating&state=creating');
      return body.items.length === 0;
    });
    t.equal((await allKeyIds(kms)).length, before + 1);
    for (const [index, { id }] of lines.entries()) {
      t.equal((await call('GET', `/v1/keys/${id}`)).body.status.generation, index < 8 ? 2 : 1);
    }
  });
});

import { randomUUID } from 'node:crypto';
import { test } from 'tap';
import { allKeyIds } from '../support/kms-truth.ts';
import { startBackends, startProcess } from '../support/process.ts';
import {
  caller,
  eventually,
  kmsClient,
  kmsControl,
  type Problem,
  startService,
  withLateSecondLooks,
} from '../support/service.ts';

test('Idempotency-Key', async (t) => {
  const { url, call, kms, control, services } = await startService(t, withLateSecondLooks);
  const count = async () => (await allKeyIds(kms)).length;

  t.test('a repeat gets the first answer again, and makes nothing', async (t) => {
    const headers = { 'idempotency-key': randomUUID() };
    const first = await call('POST', '/v1/keys', { description: 'once' }, headers);
    t.equal(first.status, 201);
    t.equal(first.headers.get('idempotent-replayed'), null);
    const before = await count();
    await call('PATCH', `/v1/keys/${first.body.id}`, { description: 'changed since' });
    for (const key of [headers['idempotency-key'], `"${headers['idempotency-key']}"`]) {
      const again = await call('POST', '/v1/keys', { description: 'once' }, { 'idempotency-key': key });
      t.equal(again.status, 201);
      t.same(again.body, first.body, 'to the letter, though the key has changed since');
      t.equal(again.headers.get('idempotent-replayed'), 'true');
      for (const header of ['location', 'etag', 'content-type']) {
        t.equal(again.headers.get(header), first.headers.get(header), header);
      }
    }
    t.equal(await count(), before);
  });

  t.test('with another body, path or method: 422, and nothing is done', async (t) => {
    const { body: key } = await call('POST', '/v1/keys', {});
    const headers = { 'idempotency-key': 'the-same' };
    await call('PATCH', `/v1/keys/${key.id}`, { description: 'a' }, headers);
    const before = await count();
    for (const [method, path, body] of [
      ['PATCH', `/v1/keys/${key.id}`, { description: 'b' }],
      ['POST', '/v1/keys', { description: 'a' }],
      ['DELETE', `/v1/keys/${key.id}`, undefined],
      ['POST', `/v1/keys/${key.id}/sync`, undefined],
    ] as const) {
      const { status, body: problem } = await call<Problem>(method, path, body, headers);
      t.equal(status, 422);
      t.match(problem.type, /\/problems\/idempotency-key-reused$/);
    }
    t.equal(await count(), before);
    t.match((await call('GET', `/v1/keys/${key.id}`)).body, { description: 'a', status: { state: 'in_sync' } });
  });

  t.test('every write takes it: PATCH, DELETE, restore, import', async (t) => {
    const { body: key } = await call('POST', '/v1/keys', {});
    const path = `/v1/keys/${key.id}`;
    for (const [method, route, body] of [
      ['PATCH', path, { tags: { a: '1' } }],
      ['DELETE', path, undefined],
      ['POST', `${path}/restore`, undefined],
      ['POST', `${path}/refresh`, undefined],
      ['POST', `${path}/release`, undefined],
      ['POST', '/v1/keys/import', { key_id: key.key_id }],
    ] as const) {
      const headers = { 'idempotency-key': randomUUID() };
      const first = await call(method, route, body, headers);
      t.ok(first.status < 300, `${method} ${route}: ${first.status}`);
      await control.clear();
      const again = await call(method, route, body, headers);
      t.same([again.status, again.body], [first.status, first.body]);
      t.equal(again.headers.get('idempotent-replayed'), 'true');
      t.same(await control.calls({ reads: true }), [], 'KMS is not asked');
    }
  });

  t.test('a refusal is an answer for good; a fault is not', async (t) => {
    const refused = { 'idempotency-key': randomUUID() };
    await control.fault({ operation: 'CreateKey', kind: 'error', type: 'LimitExceededException', times: 1 });
    const first = await call<Problem>('POST', '/v1/keys', { description: 'refused' }, refused);
    t.match(first.body.type, /\/problems\/refused-by-kms$/);
    const again = await call<Problem>('POST', '/v1/keys', { description: 'refused' }, refused);
    t.equal(again.status, 422);
    t.same(again.body, first.body);
    t.equal(again.headers.get('idempotent-replayed'), 'true');
    // Kept by a version whose types had no host, as all are kept, and shown to who came by another name.
    const byName = caller(url.replace('127.0.0.1', 'localhost'));
    const elsewhere = await byName<Problem>('POST', '/v1/keys', { description: 'refused' }, refused);
    t.equal(elsewhere.body.type, first.body.type.replace('127.0.0.1', 'localhost'));
    t.same({ ...elsewhere.body, type: '' }, { ...first.body, type: '' });
    t.same(
      (
        await services.database.pool.query(
          "SELECT body::json ->> 'type' AS type FROM idempotent_requests WHERE key = $1",
          [refused['idempotency-key']],
        )
      ).rows,
      [{ type: '/problems/refused-by-kms' }],
    );

    const { body: key } = await call('POST', '/v1/keys', {});
    await call('POST', `/v1/keys/${key.id}/release`);
    await control.fault({ operation: 'DescribeKey', kind: 'throttle', times: 3 });
    const failed = { 'idempotency-key': randomUUID() };
    const body = { key_id: key.key_id };
    t.equal((await call('POST', '/v1/keys/import', body, failed)).status, 503);
    t.equal((await call('POST', '/v1/keys/import', body, failed)).status, 201);
  });

  t.test('a request that was not right leaves its key to the one that is put right', async (t) => {
    const headers = { 'idempotency-key': randomUUID() };
    for (const [body, status] of [
      [{ colour: 'red' }, 422],
      [{ tags: { 'aws:a': '1' } }, 422],
      ['[', 400],
      ['', 400],
    ] as const) {
      const answer = await call<Problem>('POST', '/v1/keys', body, headers);
      t.equal(answer.status, status);
      t.equal(answer.headers.get('idempotent-replayed'), null);
    }
    const { status, body: key } = await call('POST', '/v1/keys', { description: 'right' }, headers);
    t.equal(status, 201);
    const changing = { 'idempotency-key': randomUUID() };
    const change = (etag: string) =>
      call('PATCH', `/v1/keys/${key.id}`, { description: 'new' }, { ...changing, 'if-match': etag });
    t.equal((await change('"9.1"')).status, 412);
    t.equal((await change('"1.1"')).status, 200);
  });

  t.test('a plan takes no key and uses none up', async (t) => {
    const { body: key } = await call('POST', '/v1/keys', {});
    for (const path of ['/v1/keys', `/v1/keys/${key.id}`]) {
      const headers = { 'idempotency-key': randomUUID() };
      for (const description of ['a', 'b']) {
        const { status, headers: answer } = await call('POST', `${path}/plan`, { description }, headers);
        t.same([status, answer.get('idempotent-replayed')], [200, null]);
      }
      const [method, done] = path === '/v1/keys' ? ['POST', 201] : ['PATCH', 200];
      t.equal((await call(String(method), path, { description: 'c' }, headers)).status, done);
    }
  });

  t.test('what is no key is 400; reads ignore it', async (t) => {
    for (const key of ['', ' ', 'a b', 'x'.repeat(256)]) {
      const { status } = await call('POST', '/v1/keys', {}, { 'idempotency-key': key });
      t.equal(status, 400, JSON.stringify(key));
    }
    const headers = { 'idempotency-key': 'reading' };
    t.equal((await call('GET', '/v1/keys', undefined, headers)).status, 200);
    t.equal((await call('GET', '/v1/keys?limit=1', undefined, headers)).status, 200);
  });

  t.test('an answer expires after 24 hours', async (t) => {
    const headers = { 'idempotency-key': 'old' };
    const { body: first } = await call('POST', '/v1/keys', {}, headers);
    await services.database.pool.query(
      "UPDATE idempotent_requests SET created_at = now() - interval '25 hours', claimed_until = now() - interval '25 hours' WHERE key = 'old'",
    );
    const { body: second, headers: answer } = await call('POST', '/v1/keys', {}, headers);
    t.not(second.id, first.id);
    t.equal(answer.get('idempotent-replayed'), null);
  });
});

test('50 identical POSTs with one Idempotency-Key at two replicas at once make one key', async (t) => {
  const { databaseUrl, kmsUrl } = await startBackends(t);
  const environment = { DATABASE_URL: databaseUrl, KMS_ENDPOINT: kmsUrl };
  const replicas = await Promise.all([startService(t, environment), startService(t, environment)]);
  const headers = { 'idempotency-key': randomUUID() };
  const answers = await Promise.all(
    Array.from({ length: 50 }, (_, index) =>
      replicas[index % 2 === 0 ? 0 : 1].call<{ id: string }>('POST', '/v1/keys', { description: 'once' }, headers),
    ),
  );
  const created = answers.filter(({ status }) => status === 201);
  t.ok(created.length >= 1);
  t.ok(answers.every(({ status }) => status === 201 || status === 409));
  t.equal(new Set(created.map(({ body }) => JSON.stringify(body))).size, 1, 'equal answers');
  const kms = kmsClient(kmsUrl);
  t.teardown(() => kms.destroy());
  t.equal((await allKeyIds(kms)).length, 1);
  for (const { call } of replicas) {
    const again = await call('POST', '/v1/keys', { description: 'once' }, headers);
    t.same([again.status, again.body], [201, created[0]?.body]);
  }
});

test('a replica that dies between record and answer: the repeat goes on with the same key', async (t) => {
  const { databaseUrl, kmsUrl } = await startBackends(t);
  const environment = { DATABASE_URL: databaseUrl, KMS_ENDPOINT: kmsUrl };
  const first = await startProcess(t, environment);
  const control = kmsControl(kmsUrl);
  // So that the request waits for its sync when its process is killed.
  await control.fault({ operation: 'EnableKeyRotation', kind: 'throttle', times: null });
  const headers = { 'idempotency-key': randomUUID() };
  const body = { description: 'survivor', enable_key_rotation: true };
  const lost = first.call('POST', '/v1/keys', body, { ...headers, prefer: 'wait=60' }).catch(() => 'lost');
  const second = await startService(t, environment);
  const recorded = await eventually('it is recorded', async () => {
    const { body: page } = await second.call<{ items: { id: string; key_id: string | null }[] }>('GET', '/v1/keys');
    return page.items.find(({ key_id }) => key_id !== null);
  });
  t.equal((await second.call('POST', '/v1/keys', body, headers)).status, 409, 'the first is still running');
  first.child.kill('SIGKILL');
  t.equal(await lost, 'lost');
  await control.clearFaults();
  const answer = await eventually('the claim of the dead replica ends', async () => {
    const again = await second.call('POST', '/v1/keys', body, headers);
    return again.status !== 409 && again;
  });
  t.ok(answer.status === 201 || answer.status === 202);
  t.equal(answer.body.id, recorded.id, 'the same key');
  const kms = kmsClient(kmsUrl);
  t.teardown(() => kms.destroy());
  t.same(await allKeyIds(kms), [recorded.key_id], 'and no second one');
});

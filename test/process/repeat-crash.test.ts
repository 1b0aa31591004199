import { randomUUID } from 'node:crypto';
import { test } from 'tap';
import type { Revision } from '../../src/schemas/history.ts';
import type { Key } from '../../src/schemas/key.ts';
import { allKeyIds } from '../support/kms-truth.ts';
import { startBackends, startProcess } from '../support/process.ts';
import { type Call, eventually, kmsClient, type Problem, startService } from '../support/service.ts';

const missing = {
  Version: '2012-10-17',
  Statement: [
    {
      Effect: 'Allow',
      Principal: { AWS: 'arn:aws:iam::111122223333:role/missing-role' },
      Action: 'kms:*',
      Resource: '*',
    },
  ],
};
const ecc = { customer_master_key_spec: 'ECC_NIST_P256', key_usage: 'SIGN_VERIFY' };
const tagged = { tags: { a: '1' } };

/** Of each: what has been done to the key before, and how the first run would have been answered. */
const requests: { name: string; method: string; action: string; body?: object; status: number; setUp?: 'DELETE' }[] = [
  { name: 'PATCH', method: 'PATCH', action: '', body: { description: 'mine' }, status: 200 },
  { name: 'refused PATCH', method: 'PATCH', action: '', body: { description: 'x', policy: missing }, status: 422 },
  { name: 'overtaken PATCH', method: 'PATCH', action: '', body: { description: 'mine' }, status: 200 },
  { name: 'replace', method: 'POST', action: '/replace', body: ecc, status: 200 },
  { name: 'rollback', method: 'POST', action: '/rollback', body: { generation: 1 }, status: 200 },
  { name: 'DELETE', method: 'DELETE', action: '', status: 202 },
  { name: 'restore', method: 'POST', action: '/restore', status: 200, setUp: 'DELETE' },
  { name: 'release', method: 'POST', action: '/release', status: 204 },
  { name: 'rotate', method: 'POST', action: '/rotate', status: 200 },
];

test('a replica that dies between record and answer: the repeat is answered as the first would have been', async (t) => {
  const { databaseUrl, kmsUrl } = await startBackends(t);
  const environment = { DATABASE_URL: databaseUrl, KMS_ENDPOINT: kmsUrl, PROPAGATION_SECONDS: '2' };
  const kms = kmsClient(kmsUrl);
  t.teardown(() => kms.destroy());
  const first = await startProcess(t, { ...environment, ROLE: 'api' });
  const worker = await startProcess(t, { ...environment, ROLE: 'worker' });
  const runs = await Promise.all(
    requests.map(async (request) => {
      const path = `/v1/keys/${(await first.call('POST', '/v1/keys', {}, { prefer: 'wait=60' })).body.id}`;
      await first.call('PATCH', path, tagged, { prefer: 'wait=60' });
      if (request.setUp !== undefined) await first.call(request.setUp, path);
      const { body: key } = await first.call('GET', path);
      const headers = {
        'idempotency-key': randomUUID(),
        'if-match': `"${key.status.generation}"`,
        prefer: 'wait=60',
      };
      const send = <Body = Key>(call: Call) => call<Body>(request.method, path + request.action, request.body, headers);
      return { ...request, key, path, send };
    }),
  );
  // From here on nothing is synced: what is asked for is recorded, and waits.
  worker.child.kill('SIGKILL');
  await worker.ended;
  const keysBefore = (await allKeyIds(kms)).length;
  const lost = Promise.all(runs.map(({ send }) => send(first.call).catch(() => 'lost')));
  await eventually('all are recorded', async () => {
    const requested = await Promise.all(
      runs.map(async ({ path }) => {
        const { body } = await first.call<{ items: { type: string }[] }>('GET', `${path}/events?limit=1`);
        return ['desired_state.changed', 'rotation.requested'].includes(body.items[0]?.type ?? '');
      }),
    );
    return requested.every(Boolean);
  });
  first.child.kill('SIGKILL');
  t.same(new Set(await lost), new Set(['lost']));

  const second = await startService(t, environment);
  const overtaken = runs.find(({ name }) => name === 'overtaken PATCH');
  t.equal((await second.call('PATCH', overtaken?.path ?? '', { description: 'theirs' })).status, 200);
  await Promise.all(
    runs.map(async ({ name, path, status, key, send }) => {
      const answer = await eventually('the claim of the dead replica ends', async () => {
        const again = await send<Key & Problem>(second.call);
        return !again.body.type?.endsWith('/problems/idempotency-key-in-use') && again;
      });
      t.equal(answer.status, status, `${name}: ${JSON.stringify(answer.body.detail)}`);
      const { body } = await second.call<{ items: Revision[] }>('GET', `${path}/revisions`);
      const later = body.items.filter(({ generation }) => generation > key.status.generation);
      const expected = { rotate: 0, 'refused PATCH': 2, 'overtaken PATCH': 2 }[name] ?? 1;
      t.equal(later.length, expected, `${name}: recorded once`);
    }),
  );
  t.equal((await second.call('GET', overtaken?.path ?? '')).body.description, 'theirs');
  t.equal((await allKeyIds(kms)).length, keysBefore + 1, 'one more, by the replacement');
});

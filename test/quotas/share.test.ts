import { test } from 'tap';
import { startKms } from '../support/local-kms.ts';
import { startBackends, startProcess } from '../support/process.ts';
import { type Call, caller, eventually, kmsControl, startService } from '../support/service.ts';

/** A series of /metrics; undefined while it has none. */
async function metric(call: Call, series: string): Promise<number | undefined> {
  const { body } = await call<string>('GET', '/metrics');
  const line = body.split('\n').find((candidate) => candidate.startsWith(`${series} `));
  return line === undefined ? undefined : Number(line.split(' ').at(-1));
}

const limitOf = (operation: string) => `keyward_kms_quota_limit{scope="own/us-east-1",operation="${operation}"}`;

test('all processes together keep to the share, and KMS throttles none of their calls', async (t) => {
  const { databaseUrl: DATABASE_URL, kmsUrl } = await startBackends(t);
  await caller(kmsUrl)('PUT', '/_local/settings', { quotas: true });
  const control = kmsControl(kmsUrl);
  const environment = { DATABASE_URL, KMS_ENDPOINT: kmsUrl, QUOTA_SHARE: '0.8' };
  const first = await startService(t, environment);
  const second = await startProcess(t, environment);
  const calls = [first.call, second.call];
  const { body: key } = await first.call('POST', '/v1/keys', {});
  for (const call of calls) {
    // A plan is made by the process that is asked.
    t.equal((await call('POST', `/v1/keys/${key.id}/plan`, {})).status, 200);
    await eventually('it takes its half', async () => (await metric(call, limitOf('DescribeKey'))) === 800);
    await eventually('and tells', async () => (await metric(call, 'keyward_processes{role="all"}')) === 2);
  }

  await control.clear();
  const creates = Array.from({ length: 14 }, (_, index) => calls[index % 2]?.('POST', '/v1/keys', {}));
  const answers = await Promise.all(creates);
  t.same(new Set(answers.map((answer) => answer?.status)), new Set([201]));
  const log = await control.calls({ reads: true });
  t.same(
    log.filter(({ error }) => error !== null),
    [],
    'not one throttling answer',
  );
  const times = log.filter(({ operation }) => operation === 'CreateKey').map(({ at }) => Date.parse(at));
  t.equal(times.length, 14);
  // Four a second together, after what both may save up: one each, and what comes in while those are sent.
  const span = Math.max(...times) - Math.min(...times);
  t.ok(span > ((14 - 3) / 4) * 1000 - 300, `14 in ${span} ms`);
  const waited = await Promise.all(calls.map((call) => metric(call, waitOf('CreateKey', 'interactive'))));
  t.ok(waited.some((seconds) => (seconds ?? 0) > 0));

  t.test('one that is killed counts no more a few seconds later', async (t) => {
    second.child.kill('SIGKILL');
    await second.ended;
    const series = 'keyward_processes{role="all"}';
    t.ok(await eventually('it is alone', async () => (await metric(first.call, limitOf('DescribeKey'))) === 1600));
    t.ok(await eventually('and tells', async () => (await metric(first.call, series)) === 1));
  });
});

const waitOf = (operation: string, urgency: string) =>
  `keyward_kms_quota_wait_seconds_total{scope="own/us-east-1",operation="${operation}",urgency="${urgency}"}`;

test('a throttling answer lowers the rate of its operation, and it comes back slowly', async (t) => {
  const kms = await startKms(t, { quotas: true });
  const { call } = await startService(t, { KMS_ENDPOINT: kms.url });
  const { body: key } = await call('POST', '/v1/keys', {});
  await call('POST', `/v1/keys/${key.id}/refresh`);
  t.equal(await metric(call, limitOf('DescribeKey')), 1000);
  await kms.control.fault({ operation: 'DescribeKey', kind: 'throttle', times: 1 });
  t.equal((await call('POST', `/v1/keys/${key.id}/refresh`)).status, 200, 'nobody notices');
  const lowered = (await metric(call, limitOf('DescribeKey'))) ?? 0;
  t.ok(lowered >= 500 && lowered < 950, `${lowered} a second`);
  t.equal(await metric(call, limitOf('GetKeyPolicy')), 500, 'others keep theirs');
  await eventually('it rises', async () => ((await metric(call, limitOf('DescribeKey'))) ?? 0) > lowered);
});

test('changes that wait for one quota keep none from being made that has another', async (t) => {
  const kms = await startKms(t, { quotas: true });
  const environment = { KMS_ENDPOINT: kms.url, QUOTA_SHARE: '0.001', WORKER_CONCURRENCY: '2' };
  const { call } = await startService(t, environment);
  const { body: key } = await call('POST', '/v1/keys', {});
  const creates = Array.from({ length: 12 }, () => call('POST', '/v1/keys', {}, { prefer: 'respond-async' }));
  for (const { status } of await Promise.all(creates)) t.equal(status, 202);
  await eventually('all hands wait', async () => {
    const { body } = await call<{ items: { type: string }[] }>('GET', '/v1/keys?state=creating');
    return body.items.length === 12;
  });
  t.equal((await call('PATCH', `/v1/keys/${key.id}`, { description: 'meanwhile' })).status, 200);
});

test('a wait ends when the process stops, and nothing is lost', async (t) => {
  const kms = await startKms(t, { quotas: true });
  const environment = { KMS_ENDPOINT: kms.url, QUOTA_SHARE: '0.001' };
  const first = await startService(t, environment);
  t.equal((await first.call('POST', '/v1/keys', {})).status, 201, 'a lone create never waits');
  const { status, body: key } = await first.call('POST', '/v1/keys', {}, { prefer: 'wait=1' });
  t.equal(status, 202, 'the next one waits for minutes');
  const start = performance.now();
  await first.stopWork();
  t.ok(performance.now() - start < 5000);
  const { rows } = await first.services.database.pool.query(
    `SELECT due_at IS NOT NULL AS due, lease_token FROM work WHERE key_ref = $1`,
    [key.id],
  );
  t.same(rows, [{ due: true, lease_token: null }], 'given back, and due again');
});

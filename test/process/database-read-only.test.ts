import { test } from 'tap';
import { connectTo } from '../support/postgres.ts';
import { startBackends } from '../support/process.ts';
import { eventually, type Problem, startService } from '../support/service.ts';

test('a database that takes no writes for a while, as a standby: 503, and the service comes back by itself', async (t) => {
  const { databaseUrl, kmsUrl } = await startBackends(t);
  const name = new URL(databaseUrl).pathname.slice(1);
  const outside = new URL(databaseUrl);
  outside.pathname = '/postgres';
  const database = await connectTo(t, outside.href);
  const { call } = await startService(t, { DATABASE_URL: databaseUrl, KMS_ENDPOINT: kmsUrl });
  const { body: key } = await call('POST', '/v1/keys', {});
  const turn = (mode: 'on' | 'off') =>
    database.query(`ALTER DATABASE ${name} SET default_transaction_read_only = ${mode}`);
  await turn('on');
  await database.query(`SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '${name}'`);
  for (const description of ['one', 'two']) {
    const { status, body } = await call<Problem>('PATCH', `/v1/keys/${key.id}`, { description });
    t.equal(status, 503);
    t.match(body.type, /\/problems\/temporarily-unavailable$/);
  }
  t.equal((await call('GET', '/readyz')).status, 503);
  await turn('off');
  await eventually('a change is carried out', async () => {
    const { status } = await call('PATCH', `/v1/keys/${key.id}`, { description: 'after' });
    return status === 200;
  });
});

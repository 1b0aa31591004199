import { test } from 'tap';
import { startBackends, startProxy } from '../support/process.ts';
import { startService } from '../support/service.ts';

test('connections to KMS that are lost without a word cost one time-out, however many they were', async (t) => {
  const { databaseUrl: DATABASE_URL, kmsUrl } = await startBackends(t);
  const proxy = await startProxy(t, new URL(kmsUrl));
  const { call } = await startService(t, { DATABASE_URL, KMS_ENDPOINT: proxy.url });
  const creates = Array.from({ length: 30 }, () => call('POST', '/v1/keys', {}));
  const [first] = (await Promise.all(creates)).map(({ body }) => body.id);
  proxy.blackhole();
  const before = performance.now();
  // The read before the update meets the first of the lost connections.
  const { status } = await call('PATCH', `/v1/keys/${first}`, { description: 'after' }, { prefer: 'wait=60' });
  t.equal(status, 200);
  const seconds = (performance.now() - before) / 1000;
  t.ok(seconds < 20, `two time-outs are 16 seconds, and this took ${seconds.toFixed(1)}`);
  proxy.cut();
});

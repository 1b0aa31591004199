import { writeFile } from 'node:fs/promises';
import path from 'node:path';
import { test } from 'tap';
import { connectTo } from '../support/postgres.ts';
import { startBackends, startProcess, temporaryFolder } from '../support/process.ts';
import { eventually, kmsControl } from '../support/service.ts';

/** Has a process believe in another time. */
const wrongClock = `
  const { Date: RealDate } = globalThis;
  const ahead = Number(process.env.CLOCK_AHEAD) * 1000;
  globalThis.Date = class extends RealDate {
    constructor(...args) {
      super(...(args.length === 0 ? [RealDate.now() + ahead] : args));
    }
    static now() {
      return RealDate.now() + ahead;
    }
  };`;

for (const hours of [1, -1]) {
  test(`a host whose clock is ${hours} hour ahead neither keeps a key waiting for that time nor looks at it all the time`, async (t) => {
    const { databaseUrl, kmsUrl } = await startBackends(t);
    const control = kmsControl(kmsUrl);
    const folder = await temporaryFolder(t);
    await writeFile(path.join(folder, 'clock.mjs'), wrongClock);
    const { call } = await startProcess(t, {
      DATABASE_URL: databaseUrl,
      KMS_ENDPOINT: kmsUrl,
      NODE_OPTIONS: `--import ${path.join(folder, 'clock.mjs')}`,
      CLOCK_AHEAD: String(hours * 3600),
      SETTLE_SECONDS: '0',
      LOG_LEVEL: 'silent',
    });
    const { body } = await call('POST', '/v1/keys', {}, { prefer: 'respond-async' });
    const inSync = () =>
      eventually('it is in sync', async () => {
        const told = await call('GET', `/v1/keys/${body.id}`);
        return told.body.status.state === 'in_sync' && told.body;
      });
    await inSync();
    await control.fault({ operation: 'UpdateKeyDescription', kind: 'throttle', times: 2 });
    await call('PATCH', `/v1/keys/${body.id}`, { description: 'after' }, { prefer: 'respond-async' });
    await inSync();
    const database = await connectTo(t, databaseUrl);
    const { rows } = await database.query(
      "SELECT due_at > now() + interval '8 minutes' AND due_at < now() + interval '12 minutes' AS in_its_interval FROM work",
    );
    t.same(rows, [{ in_its_interval: true }], 'it is looked at in ten minutes, give or take a tenth');
  });
}

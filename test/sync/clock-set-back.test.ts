import { test } from 'tap';
import { installClock, stepClock } from '../../chaos/database-clock.ts';
import type { Import } from '../../src/schemas/imports.ts';
import { ended } from '../support/imports.ts';
import { metadata } from '../support/kms-truth.ts';
import { connectTo } from '../support/postgres.ts';
import { startBackends, startProcess } from '../support/process.ts';
import { eventually, kmsClient, kmsControl, startService } from '../support/service.ts';

test("PostgreSQL's clock is set back by eleven minutes: what a dead worker had in hand does not wait until then", async (t) => {
  const { databaseUrl, kmsUrl } = await startBackends(t);
  const database = await connectTo(t, databaseUrl);
  await installClock(database);
  const environment = {
    DATABASE_URL: databaseUrl,
    KMS_ENDPOINT: kmsUrl,
    WRITE_DEADLINE_SECONDS: '6',
    SETTLE_SECONDS: '0',
    LEASE_SECONDS: '2',
    LOG_LEVEL: 'silent',
  };
  const kms = kmsClient(kmsUrl);
  t.teardown(() => kms.destroy());
  const control = kmsControl(kmsUrl);
  const dying = await startProcess(t, environment);
  const { body: key } = await dying.call('POST', '/v1/keys', { description: 'before' });
  const { body: imported } = await dying.call<Import>('POST', '/v1/imports', { source: { key_ids: ['nonsense'] } });
  await ended(dying.call, imported.id);
  await stepClock(database, 660);
  await eventually('the fleet lives by the fast clock', async () => {
    const { rows } = await database.query(
      "SELECT 1 FROM installation WHERE alive_at > pg_catalog.now() + interval '10 minutes'",
    );
    return rows.length === 1;
  });
  await control.fault({ operation: 'UpdateKeyDescription', kind: 'no_answer_before_effect', times: null });
  const request = dying.call('PATCH', `/v1/keys/${key.id}`, { description: 'after' }, { 'idempotency-key': 'one' });
  request.catch(() => {});
  await eventually('its lease holds until long after now', async () => {
    const { rows } = await database.query(
      "SELECT 1 FROM keys JOIN work ON work.key_ref = keys.id WHERE generation = 2 AND lease_until > pg_catalog.now() + interval '10 minutes'",
    );
    return rows.length === 1;
  });
  dying.child.kill('SIGKILL');
  await dying.ended;
  await control.clearFaults();
  const inHand = `outcome = 'waiting', lease_token = gen_random_uuid(), lease_until = chaos.now() + interval '2 s'`;
  await database.query(`UPDATE import_items SET ${inHand} WHERE import_id = $1`, [imported.id]);
  await database.query("UPDATE imports SET state = 'running', finished_at = NULL WHERE id = $1", [imported.id]);
  await stepClock(database, 0);

  const { call } = await startService(t, environment);
  const held = await eventually('the change is carried out', async () => {
    const { body } = await call('GET', `/v1/keys/${key.id}`);
    return body.status.state === 'in_sync' && body;
  });
  t.equal(held.description, 'after');
  t.equal((await metadata(kms, key.key_id ?? '')).Description, 'after');
  const { rows } = await database.query(
    "SELECT 1 FROM idempotent_requests WHERE claimed_until > now() + interval '21 s'",
  );
  t.same(rows, [], 'the request can be repeated soon');
  t.match(await ended(call, imported.id), { state: 'done' }, 'an import goes on');

  t.test(
    'what is put on record by the clock of before, while the new one is dealt with, does not wait either',
    async () => {
      const late = "UPDATE work SET attempts = 1, due_at = now() + interval '11 minutes' WHERE key_ref = $1";
      await database.query(late, [key.id]);
      const { body: other } = await call('POST', '/v1/keys', {});
      const meant = "UPDATE work SET attempts = 1, due_at = now() + interval '5 minutes' WHERE key_ref = $1";
      await database.query(meant, [other.id]);
      await eventually('the key is looked at', async () => {
        const { rows } = await database.query('SELECT 1 FROM work WHERE key_ref = $1 AND attempts = 0', [key.id]);
        return rows.length === 1;
      });
      const early = "SELECT 1 FROM work WHERE key_ref = $1 AND (attempts = 0 OR due_at < now() + interval '3 minutes')";
      t.same(
        (await database.query(early, [other.id])).rows,
        [],
        'what was meant by the new clock waits as it was meant to',
      );
    },
  );
});

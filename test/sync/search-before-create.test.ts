import { type Test, test } from 'tap';
import type { Key } from '../../src/schemas/key.ts';
import { allKeyIds, metadata, tags } from '../support/kms-truth.ts';
import { startBackends } from '../support/process.ts';
import { eventually, type Problem, startService } from '../support/service.ts';

type Service = Awaited<ReturnType<typeof startService>>;

/** The database as a backup has it that was taken between the acceptance of a key and its CreateKey. */
async function forgetMaking({ services }: Service, { id }: Key): Promise<void> {
  const { pool } = services.database;
  await pool.query('DELETE FROM kms_writes WHERE key_ref = $1', [id]);
  await pool.query(
    `UPDATE keys SET arn = NULL, key_id = NULL, key_state = NULL, observed = NULL, synced_generation = 0, state = 'creating'
     WHERE id = $1`,
    [id],
  );
  await pool.query('UPDATE work SET last_observed_at = NULL, due_at = now() WHERE key_ref = $1', [id]);
}

async function untilInSync({ call }: Service, id: string): Promise<Key> {
  return eventually(`${id} is in sync`, async () => {
    const { body } = await call('GET', `/v1/keys/${id}`);
    return body.status.state === 'in_sync' && body;
  });
}

/** How often all keys were listed or searched: a ListKeys of one key only asks for the time. */
async function countOf({ control }: Service, operation: string): Promise<number> {
  const calls = await control.calls({ reads: true });
  return calls.filter((call) => call.operation === operation && call.parameters['Limit'] !== 1).length;
}

for (const OWNERSHIP_SEARCH of ['listing', 'tagging']) {
  test(`a key that was made after the backup is found by ${OWNERSHIP_SEARCH} and not made again`, async (t) => {
    const service = await startService(t, { OWNERSHIP_SEARCH, SETTLE_SECONDS: '0' });
    const { call, kms } = service;
    const { body: made } = await call('POST', '/v1/keys', { description: 'made', tags: { a: '1' } });
    t.equal(await countOf(service, 'ListKeys'), 0, 'nothing is looked for before a new key is made');
    t.equal(await countOf(service, 'GetResources'), 0);
    await forgetMaking(service, made);
    const found = await untilInSync(service, made.id);
    t.equal(found.arn, made.arn);
    const { body: events } = await call<{ items: { data: object }[] }>(
      'GET',
      `/v1/keys/${made.id}/events?type=key.found`,
    );
    t.match(events.items, [{ data: { arn: made.arn } }]);

    const { body: doomed } = await call('POST', '/v1/keys', { description: 'doomed' });
    await forgetMaking(service, doomed);
    const refused = await call<Problem>('DELETE', `/v1/keys/${doomed.id}`);
    t.equal(refused.status, 409, 'a record whose key is in KMS is not dropped as one that KMS never had');
    t.match(refused.body, { id: doomed.id, detail: new RegExp(`key ${doomed.key_id} .*/resolve`) });
    t.equal((await metadata(kms, doomed.key_id ?? '')).KeyState, 'Enabled', 'nor deleted for its tag');
    const said = { key_id: doomed.key_id, is_mine: true };
    const { body } = await call('POST', `/v1/keys/${doomed.id}/resolve`, said);
    t.match(body, { key_id: doomed.key_id, status: { state: 'pending_deletion', error: null } });
    t.equal((await metadata(kms, doomed.key_id ?? '')).KeyState, 'PendingDeletion');
    t.same(new Set(await allKeyIds(kms)), new Set([made.key_id, doomed.key_id]));
  });
}

test('a replacement that was made after the backup is found and not made again', async (t) => {
  const service = await startService(t, { SETTLE_SECONDS: '0' });
  const { call, kms } = service;
  const { body: old } = await call('POST', '/v1/keys', {});
  const ecc = { customer_master_key_spec: 'ECC_NIST_P256', key_usage: 'SIGN_VERIFY' };
  const { body: replaced } = await call('POST', `/v1/keys/${old.id}/replace`, ecc);
  t.not(replaced.key_id, old.key_id);
  const { pool } = service.services.database;
  await pool.query(
    `UPDATE keys SET arn = NULL, key_id = NULL, key_state = NULL, observed = NULL, synced_generation = 1, replacement = 'begun', state = 'updating'
     WHERE id = $1`,
    [old.id],
  );
  await pool.query('UPDATE work SET last_observed_at = NULL, due_at = now() WHERE key_ref = $1', [old.id]);
  await pool.query("UPDATE former_keys SET deletion = 'waiting'");
  const found = await untilInSync(service, old.id);
  t.equal(found.key_id, replaced.key_id);
  t.same(new Set(await allKeyIds(kms)), new Set([old.key_id, replaced.key_id]));
});

test('a request that was cut off and is run again makes no second key where its record was lost', async (t) => {
  const service = await startService(t, { SETTLE_SECONDS: '0' });
  const { call, kms, services } = service;
  const headers = { 'idempotency-key': 'the-same' };
  const { body: made } = await call('POST', '/v1/keys', { description: 'once' }, headers);
  const { pool } = services.database;
  // As in a database of before all of it.
  await pool.query('ALTER TABLE events DISABLE TRIGGER events_append_only');
  // As in a database of before all of it.
  await pool.query('ALTER TABLE events DISABLE TRIGGER events_append_only');
  for (const table of ['kms_writes', 'revisions', 'events']) {
    await pool.query(`DELETE FROM ${table} WHERE key_ref = $1`, [made.id]);
  }
  await pool.query('DELETE FROM keys');
  await pool.query(`UPDATE idempotent_requests SET status = NULL, claimed_until = '-infinity'`);
  const { status, body: again } = await call('POST', '/v1/keys', { description: 'once' }, headers);
  t.equal(status, 201);
  t.equal(again.key_id, made.key_id);
  t.same(await allKeyIds(kms), [made.key_id]);
});

test('a worker of its own knows which keys are new, and looks for the others', async (t: Test) => {
  const { databaseUrl: DATABASE_URL, kmsUrl: KMS_ENDPOINT } = await startBackends(t);
  const environment = { DATABASE_URL, KMS_ENDPOINT, SETTLE_SECONDS: '0' };
  const worker = await startService(t, { ...environment, ROLE: 'worker' });
  const api = await startService(t, { ...environment, ROLE: 'api' });
  const made = await Promise.all(
    Array.from(
      { length: 4 },
      async (_, index) => (await api.call('POST', '/v1/keys', { description: `${index}` })).body,
    ),
  );
  t.equal(await countOf(worker, 'ListKeys'), 0);
  await worker.stopWork();
  const { body: accepted } = await api.call('POST', '/v1/keys', {}, { prefer: 'respond-async' });
  await startService(t, { ...environment, ROLE: 'worker' });
  const late = await untilInSync(api, accepted.id);
  t.equal(await countOf(worker, 'ListKeys'), 1, 'one that was accepted before the worker started');
  t.equal((await allKeyIds(api.kms)).length, made.length + 1);
  t.equal((await tags(api.kms, late.key_id ?? ''))['keyward:id'], late.id);
});

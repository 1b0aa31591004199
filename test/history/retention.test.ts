import { ListKeysCommand, TagResourceCommand } from '@aws-sdk/client-kms';
import { type Test, test } from 'tap';
import type { Event, Revision } from '../../src/schemas/history.ts';
import { trimHistory } from '../../src/services/retention.ts';
import { sweepUnmanagedKeys } from '../../src/services/unmanaged/sweep.ts';
import { eventually, type Problem, startService } from '../support/service.ts';

type Page<Item> = { items: Item[]; next_cursor: string | null };

/** A service that keeps little, and whose past can be made older than it is. */
async function startForgetful(t: Test, environment: Record<string, string>) {
  const service = await startService(t, { SETTLE_SECONDS: '0', ...environment });
  const { call, services } = service;
  const { pool } = services.database;
  const revisions = async (id: string) =>
    (await call<Page<Revision>>('GET', `/v1/keys/${id}/revisions?limit=200`)).body.items;
  return {
    ...service,
    revisions,
    generations: async (id: string) => (await revisions(id)).map(({ generation }) => generation),
    events: async (id: string) => (await call<Page<Event>>('GET', `/v1/keys/${id}/events?limit=200`)).body.items,
    writes: async (id: string) =>
      (
        await pool.query(
          "SELECT operation || ' ' || coalesce(outcome, 'open') AS write FROM kms_writes WHERE key_ref = $1 ORDER BY id",
          [id],
        )
      ).rows.map(({ write }) => write),
    /** Everything that has been done so far was done so many days ago. */
    age: async (days: number) => {
      const earlier = `- interval '${days} days'`;
      await pool.query('ALTER TABLE events DISABLE TRIGGER events_append_only');
      await pool.query(`UPDATE events SET created_at = created_at ${earlier}`);
      await pool.query('ALTER TABLE events ENABLE TRIGGER events_append_only');
      await pool.query(`UPDATE revisions SET created_at = created_at ${earlier}, settled_at = settled_at ${earlier}`);
      await pool.query(`UPDATE kms_writes SET planned_at = planned_at ${earlier}, lands_until = lands_until ${earlier},
        finished_at = finished_at ${earlier}`);
      await pool.query(`UPDATE errands SET created_at = created_at ${earlier}, settled_at = settled_at ${earlier}`);
      await pool.query(`UPDATE former_keys SET created_at = created_at ${earlier}`);
    },
    trim: () => trimHistory(services),
  };
}

test('revisions', async (t) => {
  const { call, kms, age, trim, generations, events, revisions, control } = await startForgetful(t, {
    REVISION_RETENTION_DAYS: '30',
    REVISION_RETENTION_COUNT: '4',
  });
  const { body: key } = await call('POST', '/v1/keys', { description: '1' });
  for (let change = 2; change <= 6; change += 1) {
    await call('PATCH', `/v1/keys/${key.id}`, { description: `${change}` }, { 'x-request-id': `change-${change}` });
  }
  await trim();
  t.same(await generations(key.id), [6, 5, 4, 3, 2, 1], 'what is young is kept, however much there is');
  await age(3);
  await trim();
  t.same(await generations(key.id), [6, 5, 4, 3], 'the newest are kept');

  t.test('pages and events are as before', async (t) => {
    const { body: page } = await call<Page<Revision>>('GET', `/v1/keys/${key.id}/revisions?limit=3`);
    t.same(
      page.items.map(({ generation }) => generation),
      [6, 5, 4],
    );
    const next = `/v1/keys/${key.id}/revisions?limit=3&cursor=${page.next_cursor}`;
    t.match((await call('GET', next)).body, { items: [{ generation: 3 }], next_cursor: null });
    const writes = (await events(key.id)).filter(({ type }) => type === 'kms.write');
    t.match(writes.at(-2), { generation: 2, origin: 'api', request_id: 'change-2' }, 'whose revision is gone');
  });

  t.test('a rollback to one that is kept works, to another it is refused', async (t) => {
    const rollback = (generation: number) => call<Problem>('POST', `/v1/keys/${key.id}/rollback`, { generation });
    t.match(await rollback(2), {
      status: 422,
      body: { errors: [{ pointer: '/generation', detail: /kept no longer/ }] },
    });
    t.match(await rollback(3), { status: 200, body: { description: '3', status: { generation: 7 } } });
  });

  t.test('the last one that KMS held is kept, however old, and a refused change goes back to it', async (t) => {
    await age(3650);
    await trim();
    t.same(await generations(key.id), [7]);
    await control.fault({
      operation: 'UpdateKeyDescription',
      kind: 'error',
      type: 'ValidationException',
      message: 'no',
    });
    t.equal((await call('PATCH', `/v1/keys/${key.id}`, { description: 'refused' })).status, 422);
    t.match((await call('GET', `/v1/keys/${key.id}`)).body, { description: '3', status: { state: 'in_sync' } });
    t.match(await revisions(key.id), [{ origin: 'revert' }, { outcome: 'refused' }, { generation: 7 }]);
  });

  t.test('of a record that is gone the last one is kept: an import does not give its id a second life', async (t) => {
    const { body: released } = await call('POST', '/v1/keys', {});
    await call('POST', `/v1/keys/${released.id}/release`);
    await age(3);
    await trim();
    t.same(await generations(released.id), [2, 1]);
    await age(31);
    await trim();
    t.same(await generations(released.id), [2]);
    await kms.send(
      new TagResourceCommand({
        KeyId: released.key_id ?? '',
        Tags: [{ TagKey: 'keyward:id', TagValue: released.id }],
      }),
    );
    const { status, body } = await call('POST', '/v1/keys/import', { key_id: released.key_id });
    t.equal(status, 201);
    t.not(body.id, released.id);
  });
});

test('events', async (t) => {
  const { call, age, trim, events, services } = await startForgetful(t, { EVENT_RETENTION_DAYS: '30' });
  const { body: key } = await call('POST', '/v1/keys', {});
  await call('PATCH', `/v1/keys/${key.id}`, { description: 'old' });
  const { body: before } = await call<Page<Event>>('GET', '/v1/events?limit=2');
  await age(31);
  await call('PATCH', `/v1/keys/${key.id}`, { description: 'new' });
  await Promise.all([trim(), trim()]);
  t.match(await events(key.id), [{ type: 'kms.write' }, { type: 'desired_state.changed' }]);
  t.equal((await events(key.id)).length, 2);
  t.same((await call<Page<Event>>('GET', `/v1/events?cursor=${before.next_cursor}`)).body, {
    items: [],
    next_cursor: null,
  });
  t.equal((await call<Page<Event>>('GET', '/v1/events?type=kms.write')).body.items.length, 1);

  t.test('the last one stays, however old: that nothing happens is no sign of lost commits', async (t) => {
    await age(31);
    await trim();
    t.equal((await call<Page<Event>>('GET', '/v1/events')).body.items.length, 1);
    await services.watch.check(services.database.pool);
    t.match((await call('GET', '/readyz')).body, { held: false });
  });

  t.test('so many as are to be kept, when there are more', async (t) => {
    await services.database.pool.query(
      "INSERT INTO events (type, generation, actor, data) SELECT 'recovery.gap', 0, 'keyward', '{}' FROM generate_series(1, 2500)",
    );
    await age(3);
    Object.assign(services.retention, { eventCount: 1000 });
    await trim();
    const { rows } = await services.database.pool.query('SELECT count(*)::int AS count FROM events');
    t.equal(rows[0].count, 1000);
  });
});

test('the journal', async (t) => {
  const { call, age, trim, writes, control, kms, services } = await startForgetful(t, { JOURNAL_RETENTION_DAYS: '30' });
  const { body: key } = await call('POST', '/v1/keys', {});
  await call('PATCH', `/v1/keys/${key.id}`, { description: 'old' });
  await age(31);
  await call('PATCH', `/v1/keys/${key.id}`, { description: 'new' });
  await call('POST', `/v1/keys/${key.id}/refresh`);

  t.test('is kept whole while a key is not as declared', async (t) => {
    await control.changeKey(key.arn, { description: 'by hand' });
    await call('PATCH', `/v1/keys/${key.id}`, { drift_policy: 'report' });
    await call('POST', `/v1/keys/${key.id}/refresh`);
    await trim();
    t.equal((await writes(key.id)).length, 3);
    await call('POST', `/v1/keys/${key.id}/sync`);
  });

  t.test('keeps what CreateKey made, and what is young', async (t) => {
    await eventually('the key is settled', async () => {
      await trim();
      return (await writes(key.id)).length === 3;
    });
    t.same(await writes(key.id), ['CreateKey done', 'UpdateKeyDescription done', 'UpdateKeyDescription done']);
  });

  t.test('what it proves of keys that were let go of holds (I11), and they are told to be ours', async (t) => {
    const { body: replaced } = await call('POST', `/v1/keys/${key.id}/replace`, { multi_region: true });
    t.equal(replaced.status.state, 'in_sync');
    await control.fault({
      operation: 'DisableKey',
      kind: 'error',
      type: 'ValidationException',
      message: 'no',
    });
    const change = { multi_region: false, is_enabled: false };
    t.equal((await call('POST', `/v1/keys/${key.id}/replace`, change)).status, 422);
    await age(3650);
    await call('POST', `/v1/keys/${key.id}/refresh`);
    await trim();
    const { rows } = await services.database.pool.query(
      `SELECT f.reason, f.deletion, w.made_key_id = f.key_id AS is_proven
       FROM former_keys f JOIN kms_writes w ON w.key_ref = f.id AND w.operation = 'CreateKey' ORDER BY f.id`,
    );
    t.match(rows, [
      { reason: 'replaced', deletion: 'scheduled', is_proven: true },
      { reason: 'refused', deletion: 'scheduled', is_proven: true },
    ]);
    t.equal((await kms.send(new ListKeysCommand({}))).Keys?.length, 3);
    await sweepUnmanagedKeys(services);
    t.same((await call<{ items: object[] }>('GET', '/v1/unmanaged-keys')).body.items, []);
  });
});

test('finished work', async (t) => {
  const { call, age, trim, control, services } = await startForgetful(t, { WORK_RETENTION_DAYS: '30' });
  const counts = async () => {
    const { rows } = await services.database.pool.query(
      'SELECT (SELECT count(*)::int FROM errands) AS rotations, (SELECT count(*)::int FROM former_keys) AS former',
    );
    return rows[0];
  };
  const { body: key } = await call('POST', '/v1/keys', {});
  await call('POST', `/v1/keys/${key.id}/rotate`);
  await control.loseKey(key.arn);
  await eventually('the key is lost', async () => {
    const { body } = await call('POST', `/v1/keys/${key.id}/refresh`);
    return body.status.state === 'failed';
  });
  t.match((await call('POST', `/v1/keys/${key.id}/recreate`)).body, { status: { state: 'in_sync' } });
  await call('POST', `/v1/keys/${key.id}/rotate`);
  await trim();
  t.same(await counts(), { rotations: 2, former: 1 });
  await age(31);
  await trim();
  t.same(await counts(), { rotations: 0, former: 0 });
  t.equal((await call('POST', `/v1/keys/${key.id}/rotate`)).status, 200);
  t.equal((await call<Page<object>>('GET', `/v1/keys/${key.id}/rotations`)).body.items.length, 2);
});

test('each filter of the list of events has an index in the order of the list', async (t) => {
  const { services } = await startService(t);
  const client = await services.database.pool.connect();
  try {
    // So few events are read faster without.
    await client.query('SET enable_seqscan = off; SET enable_sort = off; SET enable_bitmapscan = off');
    for (const [condition, index] of [
      ["key_ref = '01a20cc5-de4a-71a8-93fa-25fe7ea14fb3'", 'events_key_ref_seq_idx'],
      ["type = 'kms.write'", 'events_type_seq_idx'],
      ["provider = 'default'", 'events_provider_seq_idx'],
      ['true', 'events_pkey'],
    ] as const) {
      const statement = `EXPLAIN SELECT data FROM events WHERE ${condition} ORDER BY seq DESC LIMIT 50`;
      const { rows } = await client.query<{ 'QUERY PLAN': string }>(statement);
      const plan = rows.map((row) => row['QUERY PLAN']).join('\n');
      t.match(plan, `Index Scan Backward using ${index} `, condition);
      t.notMatch(plan, /Sort/);
    }
  } finally {
    client.release(true);
  }
});

import { randomUUID } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { connect } from 'node:net';
import path from 'node:path';
import { promisify } from 'node:util';
import { test } from 'tap';
import type { EventList } from '../../src/schemas/history.ts';
import { extendChain, verifyChain } from '../../src/services/history/chain.ts';
import { addToken, adminToken, callerWith, withTokens } from '../support/access.ts';
import { connectTo, newDatabase } from '../support/postgres.ts';
import { run } from '../support/process.ts';
import { caller, eventually, startService } from '../support/service.ts';

test('audit', async (t) => {
  const DATABASE_URL = await newDatabase(t);
  const { url, services, app } = await startService(t, { ...withTokens, DATABASE_URL });
  const admin = callerWith(url, adminToken);
  const { pool } = services.database;
  const eventsOf = async (type: string) =>
    (await admin<EventList>('GET', `/v1/events?type=${type}&limit=200`)).body.items;

  t.test('what was refused, sign-ins that failed and reads of events are events', async (t) => {
    const { token, name } = await addToken(admin, { role: 'viewer' });
    const viewer = callerWith(url, token);
    await viewer('POST', '/v1/keys?q=secret', {}, { 'user-agent': 'a script', 'x-request-id': 'refused-1' });
    const refused = await eventually('the refusal is on record', async () => (await eventsOf('access.refused'))[0]);
    t.match(refused, {
      actor: `token:${name}`,
      address: '127.0.0.1',
      user_agent: 'a script',
      request_id: 'refused-1',
      key: null,
      data: { operation: 'createKey', method: 'POST', path: '/v1/keys', status: 403 },
    });
    const { body: key } = await admin<{ id: string }>('POST', '/v1/keys', { deletion_protection: true });
    await admin('DELETE', `/v1/keys/${key.id}`);
    await admin('PATCH', `/v1/keys/${key.id}`, { description: 'x' }, { 'if-match': '"999.1"' });
    await admin('POST', '/v1/keys', { no_such_field: 1 });
    await admin('POST', `/v1/keys/${key.id}/plan`, { no_such_field: 1 });
    await admin('GET', '/v1/keys/01980e6c-0000-7000-8000-000000000000');
    const ofAdmin = (await eventsOf('access.refused')).filter(({ actor }) => actor === 'token:bootstrap');
    t.match(ofAdmin, [
      { data: { operation: 'createKey', status: 422 } },
      { data: { operation: 'updateKey', status: 412 } },
      { data: { operation: 'deleteKey', path: `/v1/keys/${key.id}`, status: 409 } },
    ]);
    t.equal(ofAdmin.length, 3, 'of plans and reads nothing was refused');
    await admin('POST', `/v1/keys/${key.id}/sync`);
    const [forced] = await eventsOf('sync.requested');
    t.match(
      forced,
      { key: key.id, actor: 'token:bootstrap', data: { origin: 'sync' } },
      'who has KMS put right is on record',
    );
    const wrong = `kwd_${'wrong-credential-'.repeat(3)}`;
    await callerWith(url, wrong)('DELETE', '/v1/keys/x');
    const failed = await eventually(
      'the sign-in is on record',
      async () => (await eventsOf('access.sign_in_failed'))[0],
    );
    t.match(failed, { actor: 'unknown', data: { operation: 'deleteKey', method: 'DELETE' } });
    await caller(url)('GET', '/v1/keys');
    await viewer('GET', '/v1/events?type=kms.write');
    await viewer('GET', '/v1/events?type=kms.write');
    await eventually('the read is on record', async () => {
      return (await eventsOf('access.events_read')).some(({ actor }) => actor === `token:${name}`);
    });
    const reads = (await eventsOf('access.events_read')).filter(({ actor }) => actor === `token:${name}`);
    t.match(reads, [{ data: { path: '/v1/events', filters: { type: 'kms.write' } } }], 'once for the same filters');
    const { rows } = await pool.query<{ text: string }>('SELECT events::text AS text FROM events');
    t.notOk(
      rows.some(({ text }) => /wrong-credential|secret|kwd_/.test(text)),
      'no credential and no query is told',
    );
    t.equal((await eventsOf('access.sign_in_failed')).length, 1, 'who gives none has failed at nothing');
  });

  t.test('who reads events, or is refused, and hangs up before the answer is on record all the same', async (t) => {
    const { token, name } = await addToken(admin, { role: 'viewer' });
    const { hostname, port } = new URL(url);
    const connections = promisify(app.server.getConnections.bind(app.server));
    const client = await connectTo(t, DATABASE_URL);
    for (const [request, table, statement, type] of [
      ['GET /v1/events?type=key.found', 'revisions', '%LEFT JOIN revisions%', 'access.events_read'],
      ['DELETE /v1/keys/01980e6c-0000-7000-8000-000000000000', 'keys', 'SELECT provider, tags_all%', 'access.refused'],
    ] as const) {
      await client.query(`BEGIN; LOCK TABLE ${table} IN ACCESS EXCLUSIVE MODE`);
      const before = await connections();
      const socket = connect(Number(port), hostname);
      socket.on('error', () => {});
      socket.write(`${request} HTTP/1.1\r\nHost: ${hostname}\r\nAuthorization: Bearer ${token}\r\n\r\n`);
      const waiting = "SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE $1";
      await eventually('it is under way', async () => ((await pool.query(waiting, [statement])).rowCount ?? 0) > 0);
      socket.resetAndDestroy();
      await eventually('the service knows that it hung up', async () => (await connections()) <= before);
      await client.query('ROLLBACK');
      await eventually(`${type} is on record`, async () =>
        (await eventsOf(type)).some(({ actor }) => actor === `token:${name}`),
      );
    }
  });

  t.test('refusals without end do not fill the table', async (t) => {
    const { token, name } = await addToken(admin, { role: 'viewer' });
    const viewer = callerWith(url, token);
    for (let refused = 0, asked = 0; refused < 70 && asked < 1000; asked += 1) {
      // A machine that is busy turns requests away.
      if ((await viewer('DELETE', '/v1/providers/default')).status === 403) refused += 1;
    }
    const refusals = async () => (await eventsOf('access.refused')).filter(({ actor }) => actor === `token:${name}`);
    await eventually('they are on record', async () => (await refusals()).length >= 60);
    t.equal((await refusals()).length, 60);
  });

  t.test('nor do reads of events, whatever they ask for', async (t) => {
    const { token, name } = await addToken(admin, { role: 'viewer' });
    const viewer = callerWith(url, token);
    t.equal((await viewer('GET', `/v1/events?key=${'x'.repeat(65)}`)).status, 400);
    t.equal((await viewer('GET', `/v1/events?provider=${'x'.repeat(65)}`)).status, 400);
    for (let asked = 0; asked < 70; asked += 1) await viewer('GET', '/v1/events?key=same');
    for (let asked = 0; asked < 70; asked += 1) await viewer('GET', `/v1/events?provider=p${asked}&limit=1`);
    const reads = async () => (await eventsOf('access.events_read')).filter(({ actor }) => actor === `token:${name}`);
    await eventually('they are on record', async () => (await reads()).length >= 60);
    t.equal((await reads()).length, 60);
    // Each is written after its answer, so that two may change places.
    const asked = (await reads()).map(
      ({ data }) => (data as { filters: { provider?: string } }).filters.provider ?? 'same',
    );
    t.same(new Set(asked), new Set(['same', ...[...Array(59).keys()].map((index) => `p${index}`)]));
  });

  t.test('events can be neither changed nor removed', async (t) => {
    await pool.query("INSERT INTO event_chain VALUES (0, 'a link')");
    for (const statement of [
      "UPDATE events SET actor = 'nobody'",
      'DELETE FROM events',
      'TRUNCATE events',
      "UPDATE event_chain SET hash = ''",
      'DELETE FROM event_chain WHERE true',
      'TRUNCATE event_chain',
    ]) {
      await t.rejects(pool.query(statement), /append-only/, statement);
    }
  });

  t.test('tampering that goes past that is evident, and the first broken event named', async (t) => {
    const client = await connectTo(t, DATABASE_URL);
    // As whoever owns the tables can.
    await client.query("SET session_replication_role = 'replica'");
    const age =
      "UPDATE events SET created_at = created_at - interval '2 minutes' WHERE created_at > now() - interval '1 minute'";
    await client.query('TRUNCATE event_chain');
    await client.query(age);
    await extendChain(services);
    const { fault, days, gone } = await verifyChain(services);
    t.match({ fault, gone }, { fault: null, gone: 0 });
    t.match(days.at(-1)?.head, /^[0-9a-f]{64}$/);
    const verify = async () => {
      const { ended, stdout } = run(t, 'src/audit.ts', { DATABASE_URL }, ['verify']);
      return { code: (await ended).code, stdout: stdout() };
    };
    t.match(await verify(), {
      code: 0,
      stdout: /^\d{4}-\d\d-\d\d \d+ events, head [0-9a-f]{64}\n[\s\S]*The chain holds/,
    });

    const audit = async (...args: string[]) => {
      const { ended, stdout, stderr } = run(t, 'src/audit.ts', { DATABASE_URL }, args);
      return { code: (await ended).code, stdout: stdout(), stderr: stderr() };
    };
    const head = (await audit('head')).stdout.trim();
    t.match(head, /^\d{4}-\d\d-\d\d=[0-9a-f]{64}$/);
    t.equal(head.slice(11), days.at(-1)?.head);
    const kept = [{ day: head.slice(0, 10), hash: head.slice(11) }];
    t.match(await audit('verify', '--head', head), { code: 0, stdout: /The chain holds/ });
    t.match(await audit('verify', '--head', 'yesterday'), { code: 2, stderr: /--head yesterday/ });

    const { rows } = await client.query<{ seq: string }>('SELECT seq::text FROM events ORDER BY seq OFFSET 3 LIMIT 1');
    const seq = rows[0]?.seq;
    const tampered = async (what: string, change: string, undo: string, named = seq) => {
      await client.query(change);
      t.same((await verifyChain(services)).fault, { seq: named, what }, change);
      if (what === 'changed')
        t.match(await verify(), { code: 1, stdout: new RegExp(`BROKEN: event ${seq} was changed`) });
      await client.query(undo);
    };
    await client.query('CREATE TEMPORARY TABLE kept AS SELECT * FROM events');
    const putBack = `DELETE FROM events WHERE seq = ${seq}; INSERT INTO events SELECT * FROM kept WHERE seq = ${seq}`;
    await tampered('changed', `UPDATE events SET actor = 'somebody else' WHERE seq = ${seq}`, putBack);
    await tampered('changed', `UPDATE events SET data = '{}' WHERE seq = ${seq}`, putBack);
    await tampered('removed', `DELETE FROM events WHERE seq = ${seq}`, putBack);
    const moved = `UPDATE events SET seq = 0 WHERE seq = ${seq}`;
    await tampered('inserted', moved, `DELETE FROM events WHERE seq = 0; ${putBack}`, '0');
    t.match(await verifyChain(services, kept), { fault: null, missed: [] }, 'as it was');
    await client.query(`UPDATE events SET actor = 'somebody else' WHERE seq = ${seq}; TRUNCATE event_chain`);
    await extendChain(services);
    t.match(await verifyChain(services, kept), { fault: null, missed: kept }, 'a chain that was written anew');
    t.match(await audit('verify', '--head', head), { code: 1, stdout: /BROKEN: the head of \d{4}-\d\d-\d\d/ });
    await client.query(putBack);
    await client.query('TRUNCATE event_chain');
    await extendChain(services);
    const oldest = 'SELECT min(seq) FROM events';
    await client.query(`DELETE FROM events WHERE seq = (${oldest})`);
    t.match(await verifyChain(services, kept), { fault: null, gone: 1, missed: [] }, 'what retention took is counted');
  });
});

test('a role that may not change events serves', async (t) => {
  const DATABASE_URL = await newDatabase(t);
  const owner = await connectTo(t, DATABASE_URL);
  const page = await readFile(path.resolve(import.meta.dirname, '../../docs/operations.md'), 'utf8');
  const statements = /```sql\n(CREATE ROLE keyward_app[\s\S]*?)```/.exec(page)?.[1] ?? '';
  const role = `app_${randomUUID().replaceAll('-', '')}`;
  await owner.query(statements.replaceAll('keyward_app', role).replace('…', 'secret'));
  t.teardown(() => owner.query(`DROP OWNED BY ${role}; DROP ROLE ${role}`));
  const url = new URL(DATABASE_URL);
  [url.username, url.password] = [role, 'secret'];
  await t.test('as docs/operations.md says', async (t) => {
    const { call, services } = await startService(t, { DATABASE_URL: url.href, MIGRATE_ON_START: 'false' });
    const { status, body: key } = await call('POST', '/v1/keys', {});
    t.equal(status, 201);
    t.equal((await call('PATCH', `/v1/keys/${key.id}`, { description: 'changed' })).status, 200);
    await extendChain(services);
    for (const statement of ['UPDATE events SET actor = NULL', 'DELETE FROM events', 'TRUNCATE events']) {
      await t.rejects(services.database.pool.query(statement), /permission denied/, statement);
    }
  });
});

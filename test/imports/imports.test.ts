import {
  CreateAliasCommand,
  CreateKeyCommand,
  type CreateKeyCommandInput,
  DescribeKeyCommand,
  DisableKeyCommand,
  ScheduleKeyDeletionCommand,
} from '@aws-sdk/client-kms';
import { test } from 'tap';
import type { Import, ImportItem } from '../../src/schemas/imports.ts';
import { trimHistory } from '../../src/services/retention.ts';
import { addToken, adminToken, callerWith, withTokens } from '../support/access.ts';
import { ended, importAll, itemsOf, type Page } from '../support/imports.ts';
import { tags } from '../support/kms-truth.ts';
import { caller, eventually, type Problem, startService } from '../support/service.ts';

/** So long in UTF-8, and so hard to compress, that no index of PostgreSQL takes it. */
const longText = String.fromCharCode(...Array.from({ length: 2000 }, (_, index) => 0x4e00 + ((index * 7919) % 20_000)));

test('imports', async (t) => {
  const { url, kms, control, services } = await startService(t, withTokens);
  const admin = callerWith(url, adminToken);
  const make = async (input: CreateKeyCommandInput = {}) => {
    const { KeyMetadata } = await kms.send(new CreateKeyCommand(input));
    return { keyId: KeyMetadata?.KeyId ?? '', arn: KeyMetadata?.Arn ?? '' };
  };
  const reasons = (items: ImportItem[]) => items.map(({ source, outcome, reason }) => [source, outcome, reason?.code]);

  t.test('keys that are named, in any way: as they are, nothing changed but the ownership tag', async (t) => {
    const byId = await make({ Description: 'by id', Tags: [{ TagKey: 'team', TagValue: 'ops' }] });
    const byArn = await make({ KeySpec: 'HMAC_256', KeyUsage: 'GENERATE_VERIFY_MAC' });
    const byAlias = await make({ KeySpec: 'RSA_2048', KeyUsage: 'SIGN_VERIFY' });
    await kms.send(new DisableKeyCommand({ KeyId: byAlias.keyId }));
    await kms.send(new CreateAliasCommand({ AliasName: 'alias/named', TargetKeyId: byAlias.keyId }));
    const source = { key_ids: [byId.keyId, byArn.arn, 'alias/named', byAlias.arn.replace(/key\/.*/, 'alias/named')] };
    await control.clear();
    const answer = await admin<Import>('POST', '/v1/imports', { source, drift_policy: 'report' });
    t.equal(answer.status, 202);
    t.equal(answer.headers.get('location'), `/v1/imports/${answer.body.id}`);
    t.match(answer.body, { state: 'running', source: 'key_ids', dry_run: false, finished_at: null });
    t.type(answer.body.expected_until, 'string');
    const over = await ended(admin, answer.body.id);
    t.match(over, {
      state: 'done',
      counts: { total: 4, imported: 3, already_managed: 1, skipped: 0, failed: 0, waiting: 0 },
      expected_until: null,
      requested_by: 'token:bootstrap',
    });
    const items = await itemsOf(admin, over.id);
    t.same(
      items.map(({ source: named }) => named),
      source.key_ids,
      'in the order of the request',
    );
    t.equal(new Set(items.slice(2).map(({ id }) => id)).size, 1, 'two names of one key: one record');
    for (const [index, { keyId, arn }] of [byId, byArn, byAlias].entries()) {
      const { id } = items[index] ?? {};
      const key = await eventually('the ownership tag is written', async () => {
        const { body } = await admin('GET', `/v1/keys/${id}`);
        return body.status.state === 'in_sync' && body;
      });
      t.match(key, { arn, key_id: keyId, drift_policy: 'report', is_enabled: index !== 2, status: { drift: [] } });
      t.equal((await tags(kms, keyId))['keyward:id'], id);
    }
    t.same([...new Set((await control.calls()).map(({ operation }) => operation))], ['TagResource']);
    const { body: events } = await admin<Page<{ type: string; actor: string }>>(
      'GET',
      '/v1/events?type=import.finished',
    );
    t.match(events.items, [{ actor: 'token:bootstrap', data: { import: over.id, state: 'done' } }]);
  });

  t.test('all keys: those that can be, and for each other why not; the same again changes nothing', async (t) => {
    await kms.send(new DescribeKeyCommand({ KeyId: 'alias/aws/s3' }));
    const plain = await make({ Description: 'plain' });
    const going = await make();
    await kms.send(new ScheduleKeyDeletionCommand({ KeyId: going.keyId }));
    const odd = await make();
    await kms.send(new CreateKeyCommand({ MultiRegion: true }));
    const first = await importAll(admin, { source: { all: true } });
    t.match(first.import, {
      state: 'done',
      provider: 'default',
      counts: { imported: 3, already_managed: 3, skipped: 2 },
    });
    const by = new Map(first.items.map((item) => [item.arn, item]));
    t.match(by.get(plain.arn), { outcome: 'imported', reason: null });
    t.match(by.get(going.arn), { outcome: 'skipped', reason: { code: 'pending_deletion' }, id: null });
    t.match(by.get(odd.arn), { outcome: 'imported' });
    t.ok(first.items.some(({ reason }) => reason?.code === 'aws_managed'));
    await eventually('every ownership tag is written', async () => {
      const { body } = await admin<Page<object>>('GET', '/v1/keys?state=updating');
      return body.items.length === 0;
    });
    await control.clear();
    const again = await importAll(admin, { source: { all: true } });
    t.match(again.import, { state: 'done', counts: { imported: 0, already_managed: 6, skipped: 2 } });
    t.same(await control.calls(), []);
    t.equal(again.items.find(({ arn }) => arn === plain.arn)?.id, by.get(plain.arn)?.id);
  });

  t.test('some of all keys, by tags, time and usage', async (t) => {
    const wanted = await make({ Tags: [{ TagKey: 'move', TagValue: 'yes' }] });
    const other = await make({ Tags: [{ TagKey: 'move', TagValue: 'no' }] });
    const signing = await make({
      KeySpec: 'RSA_2048',
      KeyUsage: 'SIGN_VERIFY',
      Tags: [{ TagKey: 'move', TagValue: 'yes' }],
    });
    const filters = {
      tags: { move: 'yes' },
      key_usage: 'ENCRYPT_DECRYPT' as const,
      created_after: '2020-01-01T00:00:00Z',
    };
    const { import: over, items } = await importAll(admin, { source: { all: true, ...filters }, dry_run: true });
    t.match(over, { ...filters, counts: { imported: 1 } });
    const by = new Map(items.map((item) => [item.arn, item]));
    t.match(by.get(wanted.arn), { outcome: 'imported', id: null, declared: { tags: { move: 'yes' } } });
    t.match(by.get(other.arn), { outcome: 'skipped', reason: { code: 'filtered', detail: /move=yes/ } });
    t.match(by.get(signing.arn), { outcome: 'skipped', reason: { code: 'filtered', detail: /SIGN_VERIFY/ } });
    const later = { all: true, created_after: '2999-01-01T00:00:00Z' };
    t.match((await importAll(admin, { source: later })).import, { counts: { imported: 0, failed: 0 } });
  });

  t.test('a dry run records no key and writes nothing', async (t) => {
    const key = await make({ Description: 'dry', Tags: [{ TagKey: 'dry', TagValue: 'yes' }] });
    await control.clear();
    const names = [key.keyId, key.arn];
    const { import: over, items } = await importAll(admin, { source: { key_ids: names }, dry_run: true });
    t.match(over, { dry_run: true, counts: { total: 2, imported: 1, already_managed: 1 } });
    t.match(items, [
      { outcome: 'imported', id: null, arn: key.arn, declared: { description: 'dry', tags: { dry: 'yes' } } },
      { outcome: 'already_managed', id: null, arn: key.arn, reason: { code: 'already_managed' } },
    ]);
    t.same(await control.calls(), []);
    t.same((await admin<Page<object>>('GET', `/v1/keys?arn=${key.arn}`)).body.items, []);
  });

  t.test('what can not be found, and what is of another place, is told key by key', async (t) => {
    const elsewhere = 'arn:aws:kms:eu-west-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab';
    const gone = '1234abcd-12ab-34cd-56ef-1234567890ab';
    const key_ids = [gone, 'alias/nowhere', elsewhere, 'nonsense'];
    const { import: over, items } = await importAll(admin, { source: { key_ids } });
    t.match(over, { state: 'done', counts: { failed: 4 } });
    t.same(reasons(items), [
      [gone, 'failed', 'not_found'],
      ['alias/nowhere', 'failed', 'not_found'],
      [elsewhere, 'failed', 'no_provider'],
      ['nonsense', 'failed', 'not_found'],
    ]);
    t.match(items[2]?.reason, { detail: /account 111122223333, Region eu-west-1/ });
    const named = await importAll(admin, { provider: 'default', source: { key_ids: [elsewhere] } });
    t.same(reasons(named.items), [[elsewhere, 'failed', 'elsewhere']]);

    await admin('POST', '/v1/providers', { name: 'ireland', region: 'eu-west-1' });
    await admin('POST', '/v1/providers', { name: 'ireland-too', region: 'eu-west-1' });
    const both = await importAll(admin, { source: { key_ids: [elsewhere] } });
    t.match(both.items, [{ outcome: 'failed', reason: { code: 'several_providers', detail: /ireland, ireland-too/ } }]);
    await admin('DELETE', '/v1/providers/ireland-too');
    const one = await importAll(admin, { source: { key_ids: [elsewhere] } });
    t.match(one.items, [{ provider: 'ireland', reason: { code: 'not_found' } }]);
  });

  t.test('cancelled, an import imports no further key', async (t) => {
    await make();
    const keys = await Promise.all(Array.from({ length: 3 }, () => make()));
    await control.settings({ latency_milliseconds: 3000 });
    const { body } = await admin<Import>('POST', '/v1/imports', {
      source: { key_ids: keys.map(({ keyId }) => keyId) },
    });
    const { status, body: over } = await admin<Import>('POST', `/v1/imports/${body.id}/cancel`);
    await control.settings({ latency_milliseconds: 0 });
    t.equal(status, 200);
    t.match(over, { state: 'cancelled', counts: { waiting: 0 } });
    const items = await itemsOf(admin, body.id);
    t.ok(items.every(({ outcome, reason }) => outcome === 'skipped' && reason?.code === 'cancelled'));
    t.equal((await admin('POST', `/v1/imports/${body.id}/cancel`)).status, 200, 'asked for again: the same');
    const done = (await importAll(admin, { source: { key_ids: ['nonsense'] } })).import;
    t.equal((await admin('POST', `/v1/imports/${done.id}/cancel`)).status, 409);
  });

  t.test(
    'an import is seen by whoever asked for it and by whoever sees all; what a caller may not see is not there',
    async (t) => {
      const ours = await make({ Tags: [{ TagKey: 'team', TagValue: 'payments' }] });
      const theirs = await make({ Tags: [{ TagKey: 'team', TagValue: 'search' }] });
      const { token } = await addToken(admin, { role: 'editor', tags: { team: 'payments' } });
      const payments = callerWith(url, token);
      const { import: over, items } = await importAll(payments, { source: { all: true } });
      t.same(
        items.map(({ arn, outcome }) => [arn, outcome]),
        [[ours.arn, 'imported']],
      );
      t.match(over.counts, { total: 1, imported: 1 });
      const named = await importAll(payments, { source: { key_ids: [theirs.keyId, ours.keyId] } });
      t.match(named.items, [
        { reason: { code: 'not_found' }, arn: null },
        { outcome: 'already_managed', id: items[0]?.id },
      ]);

      const other = callerWith(url, (await addToken(admin, { role: 'editor', tags: { team: 'search' } })).token);
      t.equal((await other('GET', `/v1/imports/${over.id}`)).status, 404);
      t.equal((await other('GET', `/v1/imports/${over.id}/items`)).status, 404);
      t.equal((await other('POST', `/v1/imports/${over.id}/cancel`)).status, 404);
      t.same((await other<Page<Import>>('GET', '/v1/imports')).body.items, []);
      t.equal((await payments<Page<Import>>('GET', '/v1/imports')).body.items.length, 2);
      t.equal((await admin('GET', `/v1/imports/${over.id}`)).status, 200);
      const viewer = callerWith(url, (await addToken(admin, { role: 'viewer' })).token);
      t.equal((await viewer('GET', `/v1/imports/${over.id}`)).status, 200);
      t.equal((await viewer('POST', '/v1/imports', { source: { all: true } })).status, 403);
    },
  );

  t.test('rights that are taken away end what is imported by them', async (t) => {
    const key = await make({ Description: 'not theirs any more' });
    const made = await addToken(admin, { role: 'editor' });
    const editor = callerWith(url, made.token);
    // The keys are listed while the rights are taken away.
    await control.settings({ latency_milliseconds: 1000 });
    const { body } = await editor<Import>('POST', '/v1/imports', { source: { all: true } });
    t.equal((await admin('DELETE', `/v1/tokens/${made.id}`)).status, 204);
    await control.settings({ latency_milliseconds: 0 });
    t.match(await ended(admin, body.id), { counts: { imported: 0 } });
    t.same((await admin<Page<object>>('GET', `/v1/keys?arn=${key.arn}`)).body.items, []);
    await importAll(admin, { source: { key_ids: [key.keyId] } });
  });

  t.test('while ownership tags wait for their quota, a change of an imported key goes first', async (t) => {
    await admin('PATCH', '/v1/providers/default', { quotas: { requests_per_second: { TagResource: 1 } } });
    const keys = await Promise.all(Array.from({ length: 20 }, () => make()));
    const { items } = await importAll(admin, { source: { key_ids: keys.map(({ keyId }) => keyId) } });
    const { status, body } = await admin('PATCH', `/v1/keys/${items.at(-1)?.id}`, { description: 'in a hurry' });
    t.equal(status, 200);
    t.match(body, { description: 'in a hurry', status: { state: 'in_sync' } });
    const { body: left } = await admin<Page<object>>('GET', '/v1/keys?state=updating');
    t.ok(left.items.length > 5, `${left.items.length} tags still wait`);
    await admin('PATCH', '/v1/providers/default', { quotas: null });
  });

  t.test('an import that is over is removed after WORK_RETENTION_DAYS, and its keys stay', async (t) => {
    const key = await make();
    const { import: over, items } = await importAll(admin, { source: { key_ids: [key.keyId] } });
    const old = "UPDATE imports SET finished_at = now() - interval '91 days' WHERE id = $1";
    await services.database.pool.query(old, [over.id]);
    await trimHistory(services);
    t.equal((await admin('GET', `/v1/imports/${over.id}`)).status, 404);
    t.equal((await admin('GET', `/v1/keys/${items[0]?.id}`)).status, 200);
  });

  t.test(
    'of all keys, a caller with limited rights is neither told how many there are, nor which, in any way',
    async (t) => {
      const { token } = await addToken(admin, { role: 'editor', tags: { team: 'nobody' } });
      const nobody = callerWith(url, token);
      await control.settings({ latency_milliseconds: 3000 });
      const { body } = await nobody<Import>('POST', '/v1/imports', { source: { all: true } });
      await eventually('its keys are found', async () => {
        return (await admin<Import>('GET', `/v1/imports/${body.id}`)).body.counts.waiting > 0;
      });
      const none = { total: 0, imported: 0, already_managed: 0, skipped: 0, failed: 0, waiting: 0 };
      const { body: shown } = await nobody<Import>('GET', `/v1/imports/${body.id}`);
      t.match(shown, { state: 'running', counts: none, rate: null, expected_until: null });
      t.same(await itemsOf(nobody, body.id), []);
      const { body: over } = await nobody<Import>('POST', `/v1/imports/${body.id}/cancel`);
      await control.settings({ latency_milliseconds: 0 });
      t.match(over, { state: 'cancelled', counts: none, rate: null });
      t.same(await itemsOf(nobody, body.id), []);
      t.ok((await itemsOf(admin, body.id)).every(({ reason }) => reason?.code === 'cancelled'));
      const events = (call: typeof admin) => call<Page<object>>('GET', '/v1/events?type=import.cancelled&limit=1');
      t.match((await events(admin)).body.items, [{ data: { import: body.id } }]);
      t.same((await events(nobody)).body.items, []);
    },
  );

  t.test('rights that are taken away are asked for again, and a token of the same name is another', async (t) => {
    await make();
    const made = await addToken(admin, { role: 'editor', tags: { team: 'nobody' } });
    await control.settings({ latency_milliseconds: 2000 });
    const { body } = await callerWith(url, made.token)<Import>('POST', '/v1/imports', { source: { all: true } });
    await eventually('its keys are being found', async () => {
      const query = 'SELECT FROM imports WHERE id = $1 AND lease_token IS NOT NULL';
      return (await services.database.pool.query(query, [body.id])).rowCount === 1;
    });
    await admin('DELETE', `/v1/tokens/${made.id}`);
    const anew = await admin('POST', '/v1/tokens', { name: made.name, role: 'editor' });
    t.equal(anew.status, 201);
    const over = await ended(admin, body.id);
    await control.settings({ latency_milliseconds: 0 });
    t.match(over, { state: 'failed', error: { code: 'forbidden' }, counts: { imported: 0, failed: 0 } });
  });

  t.test('what breaks off for want of the database is taken up again', async (t) => {
    const { pool } = services.database;
    const { import: over } = await importAll(admin, { source: { key_ids: ['nonsense'] } });
    const locker = await pool.connect();
    await locker.query('BEGIN; SET LOCAL idle_in_transaction_session_timeout = 0; LOCK TABLE access_bindings');
    services.callers.forget();
    await pool.query("UPDATE import_items SET outcome = 'waiting' WHERE import_id = $1", [over.id]);
    await pool.query("UPDATE imports SET state = 'running', finished_at = NULL WHERE id = $1", [over.id]);
    await eventually('the rights of who asked can not be read', async () => {
      const { rowCount } = await pool.query(`SELECT pg_terminate_backend(pid) FROM pg_stat_activity
        WHERE datname = current_database() AND wait_event_type = 'Lock' AND query LIKE '%access_bindings%'`);
      return rowCount !== null && rowCount > 0;
    });
    await locker.query('ROLLBACK');
    locker.release();
    t.match(await ended(admin, over.id), { state: 'done', counts: { failed: 1 } });
  });

  t.test('a repeat with the same Idempotency-Key is the same import', async (t) => {
    const key = await make();
    const body = { source: { key_ids: [key.keyId] } };
    const headers = { 'idempotency-key': 'bulk-1' };
    const first = await admin<Import>('POST', '/v1/imports', body, headers);
    const second = await admin<Import>('POST', '/v1/imports', body, headers);
    t.equal(second.body.id, first.body.id);
    t.equal(second.headers.get('idempotent-replayed'), 'true');
    await ended(admin, first.body.id);
  });

  t.test('whoever sends two state files slowly keeps nobody else from sending one', async (t) => {
    const { token } = await addToken(admin, { role: 'editor' });
    const send = async (bearer: string, body: RequestInit['body']) => {
      const headers = { authorization: `Bearer ${bearer}`, 'content-type': 'application/vnd.keyward.tfstate+json' };
      const request = { method: 'POST', headers, body: body ?? null, duplex: 'half' };
      return (await fetch(`${url}/v1/imports`, request as RequestInit)).status;
    };
    const slow = Array.from({ length: 2 }, () => new TransformStream<Uint8Array, Uint8Array>());
    const sending = slow.map(({ readable }) => send(token, readable));
    const writers = slow.map(({ writable }) => writable.getWriter());
    for (const writer of writers) await writer.write(Buffer.from('{"version": 4, '));
    await eventually('both are being read', async () => (await send(token, '{}')) === 503);
    t.equal(await send(adminToken, '{}'), 422);
    for (const writer of writers) await writer.close();
    t.same(await Promise.all(sending), [400, 400]);
  });

  t.test('what is not understood', async (t) => {
    const wrong = (body: object) => admin<Problem>('POST', '/v1/imports', body);
    t.equal((await wrong({ source: { key_ids: ['a\u0000'] } })).status, 422);
    const long = `arn:aws:kms:us-east-1:111122223333:key/${longText}`;
    t.match((await importAll(admin, { source: { key_ids: [long] } })).items, [{ source: long, outcome: 'failed' }]);
    for (const body of [{}, { source: {} }, { source: { all: true, key_ids: ['a'] } }, { source: { key_ids: [] } }]) {
      t.equal((await wrong(body)).status, 422, JSON.stringify(body));
    }
    t.match(await wrong({ source: { key_ids: ['a'], tags: { a: 'b' } } }), {
      body: { errors: [{ pointer: '/source/tags' }] },
    });
    t.match(await wrong({ source: { all: true }, provider: 'nowhere' }), {
      status: 422,
      body: { errors: [{ pointer: '/provider' }] },
    });
    t.equal((await wrong({ source: { all: false } })).status, 422);
    t.equal((await admin('GET', '/v1/imports/nonsense')).status, 404);
    t.equal((await admin('GET', '/v1/imports/01980e6c-7a4b-7c1e-9f00-3b5e8d1c2a10/items')).status, 404);
    const { import: over } = await importAll(admin, { source: { key_ids: ['nonsense'] } });
    t.equal((await admin('GET', `/v1/imports/${over.id}/items?outcome=nonsense`)).status, 400);
    t.equal((await admin('GET', `/v1/imports/${over.id}/items?cursor=nonsense`)).status, 400);
    t.same(await itemsOf(admin, over.id, '&outcome=imported'), []);
    t.equal((await itemsOf(admin, over.id, '&outcome=failed')).length, 1);
    t.equal((await caller(url)('GET', '/v1/imports')).status, 401);
  });
});

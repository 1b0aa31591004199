import { randomUUID } from 'node:crypto';
import { test } from 'tap';
import { v7 as uuidv7 } from 'uuid';
import type { Revision } from '../../src/schemas/history.ts';
import type { Key } from '../../src/schemas/key.ts';
import { allKeyIds, metadata, ownPolicy, policy, rotation, tags } from '../support/kms-truth.ts';
import { eventually, type Problem, startService } from '../support/service.ts';

type Item<Kind> = { items: Kind[] };

test('PUT /v1/keys/{id}', async (t) => {
  const { call, kms, control, services } = await startService(t);
  const put = <Body = Key>(id: string, body: object, headers = {}) =>
    call<Body>('PUT', `/v1/keys/${id}`, body, headers);
  const keysInKms = async () => (await allKeyIds(kms)).length;

  t.test('makes a key under the id of the caller, then makes it exactly what is declared', async (t) => {
    const id = randomUUID();
    const whole = {
      description: 'whole',
      tags: { team: 'payments', env: 'prod' },
      policy: ownPolicy('Put'),
      enable_key_rotation: true,
      rotation_period_in_days: 180,
      is_enabled: false,
      deletion_window_in_days: 7,
      drift_policy: 'report',
      deletion_protection: true,
    };
    const made = await put(id, whole);
    t.equal(made.status, 201);
    t.equal(made.headers.get('location'), `/v1/keys/${id}`);
    t.match(made.headers.get('etag'), /^"1\.\d+"$/);
    t.match(made.body, { id, ...whole, status: { state: 'in_sync', generation: 1 } });
    const keyId = made.body.key_id ?? '';
    t.match(await tags(kms, keyId), { ...whole.tags, 'keyward:id': id });

    const same = await put(id, whole);
    t.equal(same.status, 200);
    t.match(same.body.status, { generation: 1 }, 'the same again is no change');

    const changed = await put(id, { description: 'other', tags: { env: 'test' } });
    t.equal(changed.status, 200);
    t.match(changed.body, {
      key_id: keyId,
      description: 'other',
      enable_key_rotation: false,
      rotation_period_in_days: null,
      is_enabled: true,
      deletion_window_in_days: 30,
      drift_policy: 'enforce',
      deletion_protection: false,
      status: { state: 'in_sync', generation: 2 },
    });
    t.same(changed.body.tags, { env: 'test' }, 'nothing of the tags before stays');
    t.same(await tags(kms, keyId), { env: 'test', 'keyward:id': id });
    t.match(await metadata(kms, keyId), { Description: 'other', KeyState: 'Enabled' });
    t.match(await rotation(kms, keyId), { enabled: false });
    t.same(await policy(kms, keyId), whole.policy, 'a policy that is declared no longer is left in force');
    const { body: history } = await call<Item<Revision>>('GET', `/v1/keys/${id}/revisions`);
    t.same(
      history.items.map(({ origin }) => origin),
      ['update', 'create'],
    );
  });

  t.test('what needs a replacement, and every rule that is broken, is refused at once', async (t) => {
    const id = randomUUID();
    await put(id, { multi_region: true });
    const { status, body } = await put<Problem>(id, { provider: 'elsewhere', deletion_window_in_days: 3, colour: 1 });
    t.equal(status, 422);
    t.same(body.errors?.map(({ pointer, code }) => `${pointer} ${code}`).sort(), [
      '/colour unknown_field',
      '/deletion_window_in_days out_of_range',
      '/multi_region immutable',
      '/provider immutable',
    ]);
    const broken = await put<Problem>(randomUUID(), { provider: 'elsewhere', deletion_window_in_days: 3 });
    t.equal(broken.status, 422);
    t.match((await call('GET', `/v1/keys/${id}`)).body, { multi_region: true, status: { generation: 1 } });
    t.equal((await put(randomUUID(), '' as unknown as object)).status, 400, 'a body is needed');
  });

  t.test('If-None-Match and If-Match', async (t) => {
    const id = randomUUID();
    const only = { 'if-none-match': '*' };
    t.equal((await put(id, {}, { 'if-match': '*' })).status, 412, 'there is nothing to match');
    const made = await put(id, {}, only);
    t.equal(made.status, 201);
    const etag = made.headers.get('etag') ?? '';
    t.equal((await put<Problem>(id, { description: 'x' }, only)).status, 412);
    t.equal((await put(id, { description: 'x' }, { 'if-none-match': etag })).status, 412);
    t.equal((await put(id, { description: 'x' }, { 'if-match': '"9.0"' })).status, 412);
    t.equal((await put(id, { description: 'x' }, { 'if-match': etag, 'if-none-match': '"9.0"' })).status, 200);
    t.match((await call('GET', `/v1/keys/${id}`)).body, { description: 'x', status: { generation: 2 } });
  });

  t.test('Idempotency-Key and Prefer', async (t) => {
    const id = randomUUID();
    const headers = { 'idempotency-key': randomUUID(), 'if-none-match': '*' };
    const first = await put(id, { description: 'once' }, headers);
    const again = await put(id, { description: 'once' }, headers);
    t.same([first.status, again.status], [201, 201]);
    t.equal(again.headers.get('idempotent-replayed'), 'true');
    t.equal((await put(id, { description: 'other' }, headers)).status, 422);
    const soon = await put(id, { description: 'soon' }, { prefer: 'respond-async' });
    t.equal(soon.status, 202);
    t.equal(soon.headers.get('preference-applied'), 'respond-async');
  });

  t.test('many at once make one key, and one of them is told that it made it', async (t) => {
    const id = uuidv7();
    const before = await keysInKms();
    const answers = await Promise.all(Array.from({ length: 8 }, (_, n) => put(id, { description: `${n}` })));
    t.same(answers.map(({ status }) => status).sort(), [...Array(7).fill(200), 201]);
    t.equal(await keysInKms(), before + 1);
    const only = randomUUID();
    const races = await Promise.all(Array.from({ length: 6 }, () => put(only, {}, { 'if-none-match': '*' })));
    t.same(races.map(({ status }) => status).sort(), [201, ...Array(5).fill(412)]);
  });

  t.test('the id is a UUID, in any case of its letters, and of no time to come', async (t) => {
    const id = 'A2F6E1D0-1111-4ABC-8DEF-ABCDEFABCDEF';
    const made = await put(id, {});
    t.equal(made.status, 201);
    t.equal(made.body.id, id.toLowerCase());
    t.match(await tags(kms, made.body.key_id ?? ''), { 'keyward:id': id.toLowerCase() });
    t.equal((await put(id.toLowerCase(), {})).status, 200);
    for (const bad of ['mine', '1234', `${id}0`, uuidv7({ msecs: Date.now() + 3_600_000 })]) {
      const { status, body } = await put<Problem>(bad, {});
      t.equal(status, 400, bad);
      t.match(body.errors, [{ parameter: 'id', code: 'invalid_value' }]);
    }
  });

  t.test('a KMS key that carries the id already is this one: the record of it was lost', async (t) => {
    const id = randomUUID();
    const { body: key } = await put(id, { description: 'before' });
    const before = await keysInKms();
    for (const table of ['kms_writes', 'revisions']) {
      await services.database.pool.query(`DELETE FROM ${table} WHERE key_ref = $1`, [id]);
    }
    await services.database.pool.query('DELETE FROM keys WHERE id = $1', [id]);
    const again = await put(id, { description: 'after' });
    t.equal(again.status, 201);
    t.equal(again.body.key_id, key.key_id);
    t.equal(await keysInKms(), before, 'no second key');
    t.match(await metadata(kms, key.key_id ?? ''), { Description: 'after' });
  });

  t.test('what a deletion or a release stands against is 409', async (t) => {
    const id = randomUUID();
    await put(id, {});
    await call('DELETE', `/v1/keys/${id}`);
    t.equal((await put(id, { description: 'x' })).status, 409, 'pending deletion');
    await call('POST', `/v1/keys/${id}/restore`);
    t.equal((await put(id, { description: 'x' })).status, 200);
    t.equal((await call('POST', `/v1/keys/${id}/release`)).status, 204);
    const before = await keysInKms();
    const { status, body } = await put<Problem>(id, {});
    t.equal(status, 409, 'released');
    t.match(body.detail, /released.*import/);
    t.equal(await keysInKms(), before);
  });

  t.test('one that KMS refused leaves its id free; one that was removed goes on with its generations', async (t) => {
    const id = randomUUID();
    await control.fault({
      operation: 'CreateKey',
      kind: 'error',
      type: 'MalformedPolicyDocumentException',
      status: 400,
    });
    t.equal((await put(id, {})).status, 422);
    t.equal((await call('GET', `/v1/keys/${id}`)).status, 404);
    await control.fault({
      operation: 'CreateKey',
      kind: 'error',
      type: 'MalformedPolicyDocumentException',
      status: 400,
    });
    t.equal((await put(id, {}, { prefer: 'respond-async' })).status, 202);
    await eventually('it has failed', async () => (await call('GET', `/v1/keys/${id}`)).body.status.state === 'failed');
    t.equal((await call('DELETE', `/v1/keys/${id}`)).status, 204);
    const made = await put(id, { description: 'third' });
    t.equal(made.status, 201);
    t.ok(made.body.status.generation > 1, `generation ${made.body.status.generation}`);
    t.match(made.body.status, { state: 'in_sync', synced_generation: made.body.status.generation });
  });
});

import { DisableKeyCommand, ListKeyRotationsCommand, RotateKeyOnDemandCommand } from '@aws-sdk/client-kms';
import { test } from 'tap';
import type { Event } from '../../src/schemas/history.ts';
import { eventually, type Problem, startService } from '../support/service.ts';

type Rotation = { rotation_date: string; rotation_type: string };
type Page<Item> = { items: Item[]; next_cursor: string | null };

test('on-demand rotation', async (t) => {
  const { call, kms, control } = await startService(t);
  const create = async (body: object = {}) => (await call('POST', '/v1/keys', body)).body;
  const patient = { prefer: 'wait=60' };
  const rotate = (id: string, headers = {}) => call('POST', `/v1/keys/${id}/rotate`, undefined, headers);
  const rotations = (id: string, query = '') => call<Page<Rotation>>('GET', `/v1/keys/${id}/rotations${query}`);
  const events = async (id: string) => (await call<Page<Event>>('GET', `/v1/keys/${id}/events`)).body.items;
  const inKms = async (KeyId: string | null) =>
    (await kms.send(new ListKeyRotationsCommand({ KeyId: KeyId ?? '' }))).Rotations?.length;
  const callsTo = async (keyId: string | null) =>
    (await control.calls()).filter(({ operation, key_id }) => operation === 'RotateKeyOnDemand' && key_id === keyId);

  // Begun first: it takes a minute until the call can no longer land, and may be sent again.
  const lost = await create();
  await control.fault({ operation: 'RotateKeyOnDemand', kind: 'reset_before_effect' });
  await rotate(lost.id, { prefer: 'respond-async' });
  await eventually('the call is lost', async () => (await callsTo(lost.key_id)).length === 1);

  t.test('rotates the key, and tells so', async (t) => {
    const { id, key_id } = await create();
    const { status, body } = await rotate(id, { 'x-request-id': 'rotate-1' });
    t.equal(status, 200);
    t.match(body.status, { state: 'in_sync', generation: 1 });
    t.equal(await inKms(key_id), 1);
    t.match((await rotations(id)).body, { items: [{ rotation_type: 'ON_DEMAND', key_material_state: 'CURRENT' }] });
    t.match(await events(id), [
      { type: 'rotation.done', request_id: 'rotate-1', origin: 'api' },
      { type: 'kms.write', data: { operation: 'RotateKeyOnDemand', outcome: 'done' } },
      { type: 'rotation.requested', actor: 'anonymous', request_id: 'rotate-1' },
    ]);
  });

  t.test('with If-Match, Prefer and Idempotency-Key', async (t) => {
    const { id, key_id } = await create();
    t.equal((await rotate(id, { 'if-match': '"9"' })).status, 412);
    t.equal((await rotate(id, { prefer: 'respond-async' })).status, 202);
    await eventually('rotated', async () => (await inKms(key_id)) === 1);
    for (const replayed of [null, 'true']) {
      const { status, headers } = await rotate(id, { 'idempotency-key': 'once' });
      t.equal(status, 200);
      t.equal(headers.get('idempotent-replayed'), replayed);
    }
    t.equal(await inKms(key_id), 2);
  });

  t.test('several at once are all carried out', async (t) => {
    const { id, key_id } = await create();
    const answers = await Promise.all([1, 2, 3, 4].map(() => rotate(id)));
    t.same(
      answers.map(({ status }) => status),
      [200, 200, 200, 200],
    );
    t.equal(await inKms(key_id), 4);
  });

  t.test("KMS's limit is explained when it is hit", async (t) => {
    const { id, key_id } = await create();
    t.equal((await rotate(id)).status, 200);
    for (let count = 1; count < 25; count += 1) await kms.send(new RotateKeyOnDemandCommand({ KeyId: key_id ?? '' }));
    const { status, body } = await call<Problem>('POST', `/v1/keys/${id}/rotate`);
    t.equal(status, 422);
    t.match(body, {
      kms_error: { code: 'LimitExceededException', operation: 'RotateKeyOnDemand' },
      detail: /allows no more/,
    });
    t.equal((await call('GET', `/v1/keys/${id}`)).body.status.state, 'in_sync');
    t.equal(await inKms(key_id), 25);
    t.match((await events(id))[0], { type: 'rotation.refused' });
    const first = (await rotations(id, '?limit=20')).body;
    t.equal(first.items.length, 20);
    const second = (await rotations(id, `?limit=20&cursor=${first.next_cursor}`)).body;
    t.equal(second.items.length, 5);
    t.equal(second.next_cursor, null);
    t.equal((await rotations(id, '?cursor=nonsense')).status, 400);
  });

  t.test('what cannot be rotated is told', async (t) => {
    const { id, key_id } = await create({ customer_master_key_spec: 'RSA_2048', key_usage: 'SIGN_VERIFY' });
    t.equal((await rotate(id)).status, 422);
    t.same(await callsTo(key_id), [], 'before any call');
    t.same((await rotations(id)).body, { items: [], next_cursor: null });
    const disabled = await create({ is_enabled: false });
    const { status, body } = await call<Problem>('POST', `/v1/keys/${disabled.id}/rotate`);
    t.equal(status, 422);
    t.match(body.kms_error, { code: 'DisabledException', message: /is disabled/ });
    const pending = await create();
    await call('DELETE', `/v1/keys/${pending.id}`);
    t.equal((await rotate(pending.id)).status, 409);
    t.equal((await rotations(pending.id)).status, 200);
    for (const unknown of ['01980e6c-0000-7000-8000-000000000000', 'nonsense']) {
      t.equal((await rotate(unknown)).status, 404);
      t.equal((await rotations(unknown)).status, 404);
    }
    t.equal((await call('POST', `/v1/keys/${id}/rotate`, { a: 1 })).status, 400);
  });

  t.test('a key that somebody disabled is put right first', async (t) => {
    const { id, key_id } = await create();
    await kms.send(new DisableKeyCommand({ KeyId: key_id ?? '' }));
    await call('POST', `/v1/keys/${id}/sync`);
    t.equal((await rotate(id)).status, 200);
  });

  t.test('an answer that is lost after the effect is no reason to rotate again', async (t) => {
    const { id, key_id } = await create();
    await control.fault({ operation: 'RotateKeyOnDemand', kind: 'reset_after_effect' });
    t.equal((await rotate(id)).status, 200);
    t.equal(await inKms(key_id), 1);
    t.equal((await callsTo(key_id)).length, 1);
  });

  t.test('throttling is waited out', async (t) => {
    const { id, key_id } = await create();
    await control.fault({ operation: 'RotateKeyOnDemand', kind: 'throttle', times: 2 });
    t.equal((await rotate(id, patient)).status, 200);
    t.equal(await inKms(key_id), 1);
  });

  t.test('a call that was lost before its effect is sent again, when it can no longer land', async (t) => {
    await eventually('rotated', async () => (await inKms(lost.key_id)) === 1, 180_000);
    t.equal((await callsTo(lost.key_id)).length, 2);
    await eventually('in sync', async () => (await call('GET', `/v1/keys/${lost.id}`)).body.status.error === null);
  });
});

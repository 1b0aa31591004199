import { test } from 'tap';
import type { Event, Revision } from '../../src/schemas/history.ts';
import { encodeCursor } from '../../src/services/cursors.ts';
import { metadata, ownPolicy, policy, rotation, tags } from '../support/kms-truth.ts';
import { eventually, type Problem, startService } from '../support/service.ts';

type Page<Item> = { items: Item[]; next_cursor: string | null };

const nowhere = '01980e6c-0000-7000-8000-000000000000';

test('history', async (t) => {
  const { call, kms } = await startService(t);
  const create = async (body: object = {}) => (await call('POST', '/v1/keys', body)).body;
  const patch = (id: string, body: object) => call('PATCH', `/v1/keys/${id}`, body);
  const revisions = async (id: string, query = '') =>
    (await call<Page<Revision>>('GET', `/v1/keys/${id}/revisions${query}`)).body;
  const events = async (id: string, query = '') =>
    (await call<Page<Event>>('GET', `/v1/keys/${id}/events${query}`)).body;
  const rollback = (id: string, generation: unknown, headers = {}) =>
    call<Problem>('POST', `/v1/keys/${id}/rollback`, { generation }, headers);

  t.test('revisions tell who asked for what, and how it ended', async (t) => {
    const { id } = await create({ description: 'one', tags: { a: '1' } });
    await call('PATCH', `/v1/keys/${id}`, { description: 'two', tags: { a: null } }, { 'x-request-id': 'request-2' });
    const lockout = { ...ownPolicy('x'), Statement: [{ ...ownPolicy('x').Statement[0], Action: 'kms:Decrypt' }] };
    t.equal((await patch(id, { policy: lockout })).status, 422);
    const { items, next_cursor } = await revisions(id);
    t.equal(next_cursor, null);
    t.match(items, [
      { generation: 4, origin: 'revert', actor: 'keyward', outcome: 'held', error: null },
      { generation: 3, origin: 'update', outcome: 'refused', error: { code: 'MalformedPolicyDocumentException' } },
      {
        generation: 2,
        origin: 'update',
        actor: 'anonymous',
        request_id: 'request-2',
        outcome: 'held',
        changes: {
          description: { before: 'one', after: 'two' },
          tags: { before: { a: '1' }, after: {} },
        },
        desired: { description: 'two', tags: {}, is_enabled: true, customer_master_key_spec: 'SYMMETRIC_DEFAULT' },
      },
      { generation: 1, origin: 'create', changes: { description: { before: null, after: 'one' } } },
    ]);
    t.same(Object.keys(items[2]?.changes ?? {}), ['description', 'tags']);
    t.ok(items.every(({ settled_at }) => settled_at !== null));
  });

  t.test('rollback to each earlier generation gives KMS that state', async (t) => {
    const { id, key_id } = await create({ description: 'first', tags: { a: '1', b: '2' } });
    const states: object[] = [
      { description: 'second', is_enabled: false, tags: { a: '3', c: '4' } },
      { enable_key_rotation: true, rotation_period_in_days: 200, policy: ownPolicy('Third') },
      { is_enabled: true, tags: null, description: null },
      { enable_key_rotation: false, policy: ownPolicy('Fifth'), deletion_window_in_days: 7 },
    ];
    const observe = async () => {
      const { Description, KeyState } = await metadata(kms, key_id ?? '');
      const held = { policy: await policy(kms, key_id ?? ''), tags: await tags(kms, key_id ?? '') };
      return { Description, KeyState, ...held, rotation: await rotation(kms, key_id ?? '') };
    };
    const declared = async () => {
      const { status: _status, updated_at: _updated, ...key } = (await call('GET', `/v1/keys/${id}`)).body;
      return key;
    };
    const held = [{ kms: await observe(), key: await declared() }];
    for (const state of states) {
      t.equal((await patch(id, state)).status, 200);
      held.push({ kms: await observe(), key: await declared() });
    }
    for (const index of [0, 3, 1, 4, 2, 0]) {
      const { status, body } = await call('POST', `/v1/keys/${id}/rollback`, { generation: index + 1 });
      t.equal(status, 200);
      t.match(body.status, { state: 'in_sync', drift: [] });
      // The policy that KMS gave the key in the beginning is back too.
      t.same(await observe(), held[index]?.kms, `generation ${index + 1}`);
      t.same(await declared(), held[index]?.key);
    }
    const [latest] = (await revisions(id)).items;
    t.match(latest, { generation: 11, origin: 'rollback', outcome: 'held' });
    t.match((await events(id, '?type=desired_state.changed')).items[0], { origin: 'rollback' });
  });

  t.test('a rollback to the current generation changes nothing', async (t) => {
    const { id } = await create();
    const { status, body } = await call('POST', `/v1/keys/${id}/rollback`, { generation: 1 });
    t.equal(status, 200);
    t.equal(body.status.generation, 1);
  });

  t.test('a rollback takes If-Match and Prefer', async (t) => {
    const { id } = await create({ description: 'a' });
    await patch(id, { description: 'b' });
    t.equal((await rollback(id, 1, { 'if-match': '"1"' })).status, 412);
    const { status, headers } = await rollback(id, 1, { 'if-match': '"2"', prefer: 'respond-async' });
    t.equal(status, 202);
    t.equal(headers.get('preference-applied'), 'respond-async');
    await eventually('in sync', async () => (await call('GET', `/v1/keys/${id}`)).body.status.synced_generation === 3);
    t.equal((await call('GET', `/v1/keys/${id}`)).body.description, 'a');
  });

  t.test('bad rollbacks are 422 and change nothing', async (t) => {
    const { id } = await create();
    for (const generation of [2, 0, -1, 1.5, '1', null, 2 ** 31, 1e300]) {
      const { status, body } = await rollback(id, generation);
      t.equal(status, 422, String(generation));
      t.equal(body.errors?.[0]?.pointer, '/generation');
    }
    t.equal((await call('POST', `/v1/keys/${id}/rollback`)).status, 400);
    t.equal((await call('POST', `/v1/keys/${id}/rollback`, { generation: 1, more: 1 })).status, 422);
    t.equal((await rollback(nowhere, 1)).status, 404);
    t.equal((await rollback('nonsense', 1)).status, 404);
    t.equal((await call('GET', `/v1/keys/${id}`)).body.status.generation, 1);
  });

  t.test('the generation of a deletion is rolled back to without deleting', async (t) => {
    const { id } = await create({ description: 'a' });
    await call('DELETE', `/v1/keys/${id}`);
    t.equal((await rollback(id, 1)).status, 409, 'a key pending deletion is restored first');
    await call('POST', `/v1/keys/${id}/restore`);
    await patch(id, { description: 'b', deletion_protection: true });
    const { status, body } = await call('POST', `/v1/keys/${id}/rollback`, { generation: 2 });
    t.equal(status, 200);
    t.match(body, { description: 'a', status: { state: 'in_sync', key_state: 'Enabled', deletion_date: null } });
  });

  t.test("a key's events tell actor, request, origin, before and after", async (t) => {
    const { id } = await create({ description: 'a' });
    await call('PATCH', `/v1/keys/${id}`, { description: 'b' }, { 'x-request-id': 'the-patch' });
    const { items } = await events(id);
    t.match(items, [
      {
        type: 'kms.write',
        actor: 'keyward',
        origin: 'api',
        request_id: 'the-patch',
        before: { description: 'a' },
        after: { description: 'b' },
        data: { operation: 'UpdateKeyDescription', parameters: { Description: 'b' }, outcome: 'done' },
      },
      {
        type: 'desired_state.changed',
        actor: 'anonymous',
        origin: 'api',
        request_id: 'the-patch',
        before: { description: 'a' },
        after: { description: 'b' },
      },
      { type: 'kms.write', data: { operation: 'CreateKey' } },
      { type: 'desired_state.changed', generation: 1, before: { description: null }, after: { description: 'a' } },
    ]);
    t.ok(items.every(({ key }) => key === id));
  });

  t.test('events of all keys, by cursor and filter', async (t) => {
    const { id } = await create({ description: 'x' });
    for (const description of ['a', 'b', 'c']) await patch(id, { description });
    const all = (await events(id)).items;
    t.equal(all.length, 8);
    const seen: Event[] = [];
    let path: string | null = `/v1/events?limit=3&key=${id}`;
    for (let pages = 0; path !== null && pages < 10; pages += 1) {
      const { body }: { body: Page<Event> } = await call<Page<Event>>('GET', path);
      seen.push(...body.items);
      path = body.next_cursor === null ? null : `/v1/events?limit=3&key=${id}&cursor=${body.next_cursor}`;
    }
    t.same(seen, all);
    const writes = (await call<Page<Event>>('GET', `/v1/events?type=kms.write&key=${id}`)).body.items;
    t.same(
      writes,
      all.filter(({ type }) => type === 'kms.write'),
    );
    const { body } = await call<Page<Event>>('GET', '/v1/events?limit=1');
    t.equal(body.items.length, 1);
    t.same((await call<Page<Event>>('GET', '/v1/events?key=nonsense')).body, { items: [], next_cursor: null });
  });

  t.test('revisions by cursor', async (t) => {
    const { id } = await create();
    for (const description of ['a', 'b', 'c']) await patch(id, { description });
    const first = await revisions(id, '?limit=3');
    t.same(
      first.items.map(({ generation }) => generation),
      [4, 3, 2],
    );
    const second = await revisions(id, `?limit=3&cursor=${first.next_cursor}`);
    t.same(
      second.items.map(({ generation }) => generation),
      [1],
    );
    t.equal(second.next_cursor, null);
  });

  t.test('history outlives the record of a key that was released', async (t) => {
    const { id } = await create();
    t.equal((await call('POST', `/v1/keys/${id}/release`)).status, 204);
    t.equal((await call('GET', `/v1/keys/${id}`)).status, 404);
    t.match((await events(id)).items[0], { type: 'key.released' });
    t.match((await revisions(id)).items, [{ origin: 'release', outcome: 'held' }, { origin: 'create' }]);
  });

  t.test('what never was a key is 404, what is no cursor 400', async (t) => {
    const { id } = await create();
    for (const list of ['revisions', 'events']) {
      for (const unknown of [nowhere, 'nonsense', '%00']) {
        t.equal((await call('GET', `/v1/keys/${unknown}/${list}`)).status, 404);
      }
      const cursorOf = (place: string) => encodeCursor(`the ${list} of ${id}`, place);
      for (const cursor of ['x', cursorOf('before 99999999999999999999'), '%00']) {
        t.equal((await call('GET', `/v1/keys/${id}/${list}?cursor=${cursor}`)).status, 400, cursor);
      }
      const far = cursorOf('before 9223372036854775807');
      t.equal((await call('GET', `/v1/keys/${id}/${list}?cursor=${far}`)).status, 200);
      t.equal((await call('GET', `/v1/keys/${id}/${list}?limit=0`)).status, 400);
    }
    for (const type of ['a%20b', 'kms.writes']) {
      const { status, body } = await call<Problem>('GET', `/v1/events?type=${type}`);
      t.equal(status, 400, type);
      t.match(body.errors, [{ detail: /^It must be one of desired_state\.changed, kms\.write, / }]);
    }
    t.equal((await call('GET', '/v1/events?type=key.stray')).status, 200);
    t.equal((await call('GET', '/v1/events?since=1')).status, 400);
  });
});

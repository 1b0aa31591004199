import { test } from 'tap';
import type { Event } from '../../src/schemas/history.ts';
import { freezeAt } from '../support/frozen.ts';
import { metadata } from '../support/kms-truth.ts';
import { eventually, type Problem, startService } from '../support/service.ts';

const notFound = { operation: 'DescribeKey', kind: 'error', type: 'NotFoundException', message: 'Not there.' };

test('a key that KMS does not find', async (t) => {
  const service = await startService(t, { SETTLE_SECONDS: '0', REFRESH_INTERVAL_SECONDS: '600' });
  const { call, control, kms, services } = service;
  const get = async (id: string) => (await call('GET', `/v1/keys/${id}`)).body;
  const until = (what: string, id: string, isSo: (status: Awaited<ReturnType<typeof get>>['status']) => boolean) =>
    eventually(what, async () => {
      const { status } = await get(id);
      return isSo(status) && status;
    });
  const [key, other] = [(await call('POST', '/v1/keys', {})).body, (await call('POST', '/v1/keys', {})).body];

  t.test('once keeps its state, and is looked for again', async (t) => {
    await control.fault({ ...notFound, times: 2 });
    const { status, body } = await call('POST', `/v1/keys/${key.id}/refresh`);
    t.equal(status, 200);
    t.match(body.status, {
      state: 'in_sync',
      key_state: 'Enabled',
      error: { code: 'NotFoundException', retryable: true },
    });
    t.match(body.status.error?.message, /Keyward takes the key for lost when no answer shows it until/);
    const recreate = await call<Problem>('POST', `/v1/keys/${key.id}/recreate`);
    t.match(recreate, { status: 409, body: { detail: /until/ } });
    t.match(await until('it is found', key.id, ({ error }) => error === null), { state: 'in_sync', generation: 1 });
  });

  t.test('is not deleted before its deletion date, and can be restored', async (t) => {
    const { body: doomed } = await call('POST', '/v1/keys', {});
    await call('DELETE', `/v1/keys/${doomed.id}`);
    await control.fault({ ...notFound, times: null });
    await call('POST', `/v1/keys/${doomed.id}/refresh`);
    const early = /KMS was to delete the key on/;
    const status = await until('that is told', doomed.id, ({ error }) => early.test(error?.message ?? ''));
    t.match(status, { state: 'pending_deletion', key_state: 'PendingDeletion' });
    await control.clearFaults();
    t.match((await call('POST', `/v1/keys/${doomed.id}/restore`)).body.status, { state: 'in_sync' });
    t.equal((await metadata(kms, doomed.key_id ?? '')).KeyState, 'Enabled');
  });

  t.test('is not taken for lost where KMS has none of the keys: it is another KMS', async (t) => {
    await control.fault({ ...notFound, times: null });
    for (const { id } of [key, other]) await call('POST', `/v1/keys/${id}/refresh`);
    for (const { id } of [key, other]) {
      const status = await until('it is told', id, ({ error }) => error?.code === 'ProviderHasNoneOfItsKeys');
      t.match(status, { state: 'in_sync', key_state: 'Enabled', error: { retryable: true } });
    }
    await control.clearFaults();
    for (const { id } of [key, other]) {
      t.match((await call('POST', `/v1/keys/${id}/refresh`)).body.status, { state: 'in_sync', error: null });
    }
  });

  t.test('several times is lost, is looked for now and then, and goes on when it is there again', async (t) => {
    const body = { name: 'alone', region: 'eu-west-1' };
    t.equal((await call('POST', '/v1/providers', body)).status, 201);
    const { body: alone } = await call('POST', '/v1/keys', { provider: 'alone', description: 'mine' });
    await control.fault({ ...notFound, times: null });
    await call('POST', `/v1/keys/${alone.id}/refresh`);
    t.match(await until('it is lost', alone.id, ({ state }) => state === 'failed'), {
      key_state: null,
      error: { code: 'NotFoundException', retryable: false },
    });
    const dueIn = async () => {
      const row = await services.database.prisma.work.findUniqueOrThrow({ where: { key_ref: alone.id } });
      return (row.due_at?.getTime() ?? 0) - Date.now();
    };
    t.ok((await dueIn()) > 50 * 60_000 && (await dueIn()) < 70 * 60_000, 'once an hour, for the time being');
    t.equal((await call('PATCH', `/v1/keys/${alone.id}`, { description: 'b' })).status, 422);
    await control.clearFaults();
    await services.database.prisma.work.update({ where: { key_ref: alone.id }, data: { due_at: new Date() } });
    await until('it is back', alone.id, ({ state }) => state === 'in_sync');
    const { body: events } = await call<{ items: Event[] }>('GET', `/v1/keys/${alone.id}/events?limit=5`);
    t.ok(events.items.some(({ type }) => type === 'key.found'));
    t.match(await get(alone.id), { description: 'mine', status: { key_state: 'Enabled', error: null } });
  });

  t.test('is not imported while it is made anew: it may have to come back', async (t) => {
    const body = { name: 'anew', region: 'eu-west-2' };
    t.equal((await call('POST', '/v1/providers', body)).status, 201);
    const { body: old } = await call('POST', '/v1/keys', { provider: 'anew' });
    await control.fault({ ...notFound, times: null });
    await call('POST', `/v1/keys/${old.id}/refresh`);
    await until('it is lost', old.id, ({ state }) => state === 'failed');
    const sleeper = freezeAt(service, 'replacement-begun');
    const recreated = call('POST', `/v1/keys/${old.id}/recreate`);
    await sleeper.frozen;
    await control.clearFaults();
    const imported = await call<Problem>('POST', '/v1/keys/import', { provider: 'anew', key_id: old.key_id });
    t.match(imported, { status: 409, body: { id: old.id } });
    await control.fault({ operation: 'CreateKey', kind: 'error', type: 'LimitExceededException', message: 'full' });
    sleeper.wake();
    t.equal((await recreated).status, 422);
    t.match(await until('it is back', old.id, ({ state }) => state === 'in_sync'), {
      error: { code: 'LimitExceededException' },
    });
    t.equal((await get(old.id)).key_id, old.key_id);
  });
});

import { setTimeout as delay } from 'node:timers/promises';
import { CreateKeyCommand } from '@aws-sdk/client-kms';
import { type Test, test } from 'tap';
import type { Import } from '../../src/schemas/imports.ts';
import type { Key } from '../../src/schemas/key.ts';
import type { UnmanagedKeyList } from '../../src/schemas/unmanaged.ts';
import { ended, itemsOf } from '../support/imports.ts';
import { keysInKms, liveOn, readReport, resume, type Stage, type Story, setStage } from '../support/recovery-drill.ts';
import { eventually, type Problem } from '../support/service.ts';

const fieldsOf = (keys: { id: string; differences: { field: string }[] }[], { id }: Key) =>
  keys.find((key) => key.id === id)?.differences.map(({ field }) => field);

test('a backup that is put back: nothing is made twice or written before the go, and every key is accounted for', async (t) => {
  const stage = await setStage(t);
  const { call, control } = stage;
  const { body: importing, found } = await beginImport(stage);
  const story = await liveOn(stage);
  const { items: imported } = await importedOf(stage, importing);
  const before = await keysInKms(stage);
  await control.clear();
  await stage.putBack();
  await holdsAll(t, stage, story);
  t.same(await keysInKms(stage), before, 'KMS is as it was');
  const { body: waiting } = await call<Import>('GET', `/v1/imports/${importing.id}`);
  t.match(waiting, { state: 'running', counts: { waiting: 1 } }, 'what was under way waits for the go too');
  await carriesOutRequests(t, stage, story);

  const { disabled, restored, released, retagged, deleted, accepted } = story;
  const kept = [disabled, restored, released, deleted].map(({ id }) => id);
  t.match(await resume(stage, kept, 'observed'), { status: 202, body: { resumed: 4, not_checked: 0 } });
  t.match(await resume(stage, [retagged.id], 'declared'), { status: 202, body: { resumed: 1 } });
  t.match(await resume(stage, 'all', 'observed'), { status: 202, body: { resumed: accepted.length } });
  await eventually('nothing is held', async () => {
    const { body } = await call<{ held: boolean }>('GET', '/v1/recovery');
    return !body.held;
  });
  const again = await importedOf(stage, importing);
  t.match(again.items, [{ outcome: 'imported', arn: found, id: imported[0]?.id }]);
  await isAccountedFor(t, stage, story);
});

/** Of a key that KMS can't be asked about until the backup is made. */
async function beginImport({ call, kms, control }: Stage) {
  const { KeyMetadata } = await kms.send(new CreateKeyCommand({}));
  const key_id = KeyMetadata?.KeyId ?? '';
  await control.fault({ operation: 'DescribeKey', key_id, kind: 'throttle', times: null });
  const { body } = await call<Import>('POST', '/v1/imports', { source: { key_ids: [key_id] } });
  return { body, found: KeyMetadata?.Arn };
}

async function importedOf({ call }: Stage, { id }: Import) {
  await ended(call, id);
  return { items: await itemsOf(call, id) };
}

async function holdsAll(t: Test, stage: Stage, story: Story): Promise<void> {
  const { call } = stage;
  const { recovery, keys, writes } = await readReport(stage);
  t.match(recovery, { held: true, reason: /write-ahead log|event/, keys_differing: 10 });
  t.same(writes, [], 'nothing was written to KMS');
  t.same(fieldsOf(keys, story.disabled), ['is_enabled']);
  t.same(fieldsOf(keys, story.retagged), ['tags.team']);
  t.same(fieldsOf(keys, story.restored), ['key_state']);
  t.same(fieldsOf(keys, story.released), ['tags.keyward:id']);
  t.same(fieldsOf(keys, story.deleted), ['key_state']);
  for (const key of story.accepted) t.same(fieldsOf(keys, key), ['key_id'], 'found by its tag');
  t.match((await call('GET', `/v1/keys/${story.disabled.id}`)).body.status, { held: true });
  const { body: kept } = await call('GET', `/v1/keys/${story.kept.id}`);
  t.match(kept.status, { held: false, state: 'in_sync' }, 'what is as it was recorded goes on by itself');
  t.match(await call('GET', '/readyz'), { status: 200, body: { status: 'ok', held: true, reason: String } });
  const { body: events } = await call<{ items: { key: string | null }[] }>('GET', '/v1/events?type=recovery.gap');
  t.match(events.items, [{ key: null, data: { reason: recovery.reason } }], 'it is told once');
}

/** Requests that come meanwhile, and what is refused. */
async function carriesOutRequests(t: Test, stage: Stage, { kept, unknown, disabled }: Story): Promise<void> {
  const { call, control } = stage;
  await control.clear();
  const { status } = await call('PATCH', `/v1/keys/${kept.id}`, { description: 'asked for meanwhile' });
  t.equal(status, 200);
  t.same(
    (await control.calls()).map(({ operation, key_id }) => [operation, key_id]),
    [['UpdateKeyDescription', kept.key_id]],
  );
  t.equal((await call('POST', '/v1/keys', { description: 'new' })).status, 201);
  const stale = await call<Problem>(
    'PATCH',
    `/v1/keys/${disabled.id}`,
    {},
    { 'if-match': `"${disabled.status.generation}.1"` },
  );
  t.equal(stale.status, 412, 'a generation of before the restore matches no other state');
  const { body } = await call('POST', `/v1/keys/${disabled.id}/refresh`);
  t.match(body.status, { held: true, key_state: 'Disabled' });
  t.equal((await resume(stage, [unknown.id], 'observed')).status, 404);
  t.equal((await resume(stage, [kept.id], 'observed')).status, 422);
  t.equal((await call('POST', '/v1/recovery/resume', { keys: 'some', as: 'observed' })).status, 422);
}

async function isAccountedFor(t: Test, stage: Stage, story: Story): Promise<void> {
  const { call } = stage;
  const { disabled, restored, released, retagged, deleted, accepted, kept, unknown } = story;
  await eventually('all is carried out', async () => {
    const { body } = await call<{ items: Key[] }>('GET', '/v1/keys?limit=200');
    return body.items.every(({ status: { state } }) => state === 'in_sync' || state === 'pending_deletion');
  });
  const show = async ({ id }: Key) => (await call('GET', `/v1/keys/${id}`)).body;
  t.match(await show(disabled), { is_enabled: false, status: { key_state: 'Disabled', held: false } });
  t.match(await show(restored), { status: { state: 'in_sync', key_state: 'Enabled' } });
  t.match(await show(retagged), { tags: { team: 'one' }, status: { state: 'in_sync' } });
  t.match(await show(deleted), { status: { state: 'pending_deletion', key_state: 'PendingDeletion' } });
  t.equal((await call('GET', `/v1/keys/${released.id}`)).status, 404, 'what was let go of is let go of again');
  for (const key of accepted) t.equal((await show(key)).arn, key.arn);
  const { body: changed } = await call('GET', `/v1/keys/${disabled.id}`);
  t.ok(changed.status.generation > disabled.status.generation, 'generations go on from a number that nobody has seen');
  const { body: revisions } = await call<{ items: { origin: string; actor: string }[] }>(
    'GET',
    `/v1/keys/${disabled.id}/revisions`,
  );
  t.match(revisions.items, [{ origin: 'recovery', outcome: 'held' }, { origin: 'create' }]);
  const { body: events } = await call<{ items: object[] }>(
    'GET',
    `/v1/keys/${retagged.id}/events?type=recovery.resumed`,
  );
  t.match(events.items, [{ data: { as: 'declared', differences: [{ field: 'tags.team' }] } }]);
  const inKms = await keysInKms(stage);
  const of = ({ key_id }: Key) => inKms.find(({ keyId }) => keyId === key_id);
  t.match(of(disabled), { state: 'Disabled', owner: disabled.id });
  t.match(of(restored), { state: 'Enabled', owner: restored.id });
  t.match(of(retagged), { team: 'one', owner: retagged.id });
  t.match(of(released), { state: 'Enabled', owner: null, team: 'one' });
  t.match(of(unknown), { state: 'Enabled', owner: unknown.id });
  t.match(of(kept), { state: 'Enabled', owner: kept.id });
  const owners = inKms.flatMap(({ owner }) => (owner === null ? [] : [owner]));
  t.equal(new Set(owners).size, owners.length, 'no key was made twice');
  const unmanaged = await eventually('KMS has been gone through', async () => {
    const { body } = await call<UnmanagedKeyList>('GET', '/v1/unmanaged-keys');
    return body.sweeps[0]?.as_of != null && body;
  });
  const foreign = new Map(unmanaged.items.map(({ key_id, claimed_id }) => [key_id, claimed_id]));
  t.same(
    foreign,
    new Map([
      [unknown.key_id, unknown.id],
      [released.key_id, null],
    ]),
    'the rest is told of',
  );
}

test('PostgreSQL that crashes in the middle of writes, and a process that freezes, are no gap', async (t) => {
  const { call, crash, service } = await setStage(t, { RESUME_GAP_SECONDS: '1' });
  const writes = Promise.allSettled(
    Array.from({ length: 20 }, (_, index) => call('POST', '/v1/keys', { description: `${index}` })),
  );
  await eventually('some are on record', async () => {
    const { body } = await call<{ items: Key[] }>('GET', '/v1/keys');
    return body.items.length > 2;
  });
  await crash();
  await writes;
  service.child.kill('SIGSTOP');
  await delay(3000);
  service.child.kill('SIGCONT');
  await eventually('all that was accepted is held by KMS', async () => {
    const { body } = await call<{ items: Key[] }>('GET', '/v1/keys?limit=200');
    return body.items?.every(({ status }) => status.state === 'in_sync');
  });
  t.match(await call('GET', '/v1/recovery'), { body: { held: false, reason: null, since: null } });
  const { body: events } = await call<{ items: object[] }>('GET', '/v1/events?type=recovery.gap');
  t.same(events.items, []);
});

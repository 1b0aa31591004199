/** Replacements and rotations that meet stale reads, lost answers, frozen workers and other commands. */
import { CancelKeyDeletionCommand, ListKeyRotationsCommand, UntagResourceCommand } from '@aws-sdk/client-kms';
import tap, { test } from 'tap';
import type { Event } from '../../src/schemas/history.ts';
import type { UnmanagedKey } from '../../src/schemas/unmanaged.ts';
import { accessTo } from '../../src/services/providers/access.ts';
import { sweepUnmanagedKeys } from '../../src/services/unmanaged/sweep.ts';
import { freezeAt, gate, goThrough, loseLease } from '../support/frozen.ts';
import { allKeyIds, metadata, ownPolicy, tags } from '../support/kms-truth.ts';
import { caller, eventually, type Problem, startService } from '../support/service.ts';

type Service = Awaited<ReturnType<typeof startService>>;

// Each has a service of its own, and most of its time is waiting.
tap.jobs = 2;

const ecc = { customer_master_key_spec: 'ECC_NIST_P256', key_usage: 'SIGN_VERIFY' };
const quick = { WRITE_DEADLINE_SECONDS: '9', SETTLE_SECONDS: '1' };
const denied = { kind: 'error', type: 'ValidationException', message: 'Not you.' };

function helpersOf({ call, kms, kmsUrl }: Service) {
  return {
    create: async (body: object = {}) => (await call('POST', '/v1/keys', body)).body,
    get: async (id: string) => (await call('GET', `/v1/keys/${id}`)).body,
    replace: (id: string, body: object = ecc, headers = {}) => call('POST', `/v1/keys/${id}/replace`, body, headers),
    rotate: (id: string, headers = {}) => call('POST', `/v1/keys/${id}/rotate`, undefined, headers),
    events: async (id: string) => (await call<{ items: Event[] }>('GET', `/v1/keys/${id}/events?limit=200`)).body.items,
    stateOf: async (keyId: string | null) => (await metadata(kms, keyId ?? '')).KeyState,
    rotationsOf: async (KeyId: string | null) =>
      (await kms.send(new ListKeyRotationsCommand({ KeyId: KeyId ?? '' }))).Rotations?.length,
    owned: async (id: string) => {
      const owners: string[] = [];
      for (const keyId of await allKeyIds(kms)) if ((await tags(kms, keyId))['keyward:id'] === id) owners.push(keyId);
      return owners;
    },
    staleReads: (seconds: number) => caller(kmsUrl)('PUT', '/_local/settings', { stale_reads_seconds: seconds }),
  };
}

async function untilReplaced({ call }: Service, id: string, generation = 2) {
  return eventually('it is replaced', async () => {
    const { body } = await call('GET', `/v1/keys/${id}`);
    return body.status.state === 'in_sync' && body.status.generation === generation && body;
  });
}

/** Holds the next read of this kind. `over`: it has been answered since. */
async function freezeAtRead(service: Service, command: string) {
  const [frozen, awake, over] = [gate(), gate(), gate()];
  const { kms } = await accessTo(service.services, 'default');
  const end = goThrough(kms.reads, `freeze at ${command}`, (next, { commandName }) => async (args) => {
    if (commandName !== command) return next(args);
    end();
    frozen.open();
    await awake.promise;
    const answer = await next(args);
    setTimeout(over.open, 300);
    return answer;
  });
  return { frozen: frozen.promise, wake: awake.open, over: over.promise };
}

test('a search by the Tagging API', async (t) => {
  const service = await startService(t, { ...quick, OWNERSHIP_SEARCH: 'tagging' });
  const { create, replace, stateOf, owned } = helpersOf(service);
  const { control } = service;

  t.test('never takes the old key for the new one', async (t) => {
    for (const kind of ['reset_before_effect', 'reset_after_effect']) {
      const old = await create();
      await control.fault({ operation: 'CreateKey', kind });
      await replace(old.id, ecc, { prefer: 'respond-async' });
      const key = await untilReplaced(service, old.id);
      t.not(key.key_id, old.key_id, kind);
      t.same(new Set(await owned(old.id)), new Set([old.key_id, key.key_id]));
      t.equal(await stateOf(key.key_id), 'Enabled');
      await eventually('scheduled', async () => (await stateOf(old.key_id)) === 'PendingDeletion');
    }
  });

  t.test('finds a new key that may not be read yet: it is neither forgotten nor made again', async (t) => {
    const old = await create();
    // The first DescribeKey is of the key that was found.
    await control.fault(
      { operation: 'CreateKey', kind: 'reset_after_effect' },
      { operation: 'DescribeKey', ...denied },
    );
    await replace(old.id, ecc, { prefer: 'respond-async' });
    const key = await untilReplaced(service, old.id);
    t.same(new Set(await owned(old.id)), new Set([old.key_id, key.key_id]));
    t.not(key.key_id, old.key_id);
  });
});

test('reads that are stale do not spare a former key its deletion', async (t) => {
  const service = await startService(t, { ...quick, SETTLE_SECONDS: '30' });
  const { create, get, replace, stateOf, owned, staleReads } = helpersOf(service);
  const { call, control } = service;
  // With a policy of its own a new key is not read right after it was made.
  const policy = ownPolicy('Own');

  t.test('when KMS had just made it', async (t) => {
    const old = await create({ is_enabled: false, policy });
    await staleReads(20);
    await control.fault({ operation: 'DisableKey', ...denied });
    t.equal((await replace(old.id)).status, 422);
    t.equal((await get(old.id)).key_id, old.key_id);
    await staleReads(0);
    const [stray] = (await owned(old.id)).filter((keyId) => keyId !== old.key_id);
    await eventually('scheduled', async () => (await stateOf(stray ?? '')) === 'PendingDeletion');
  });

  t.test('when an earlier deletion had just been taken back', async (t) => {
    const old = await create({ policy });
    await call('DELETE', `/v1/keys/${old.id}`);
    await staleReads(30);
    t.equal((await call('POST', `/v1/keys/${old.id}/restore`)).status, 200);
    await staleReads(0);
    await control.clear();
    const sleeper = freezeAt(service, 'after-send');
    const replaced = replace(old.id);
    await sleeper.frozen;
    await staleReads(30);
    sleeper.wake();
    t.equal((await replaced).status, 200);
    await staleReads(0);
    t.equal(await stateOf(old.key_id), 'PendingDeletion');
  });
});

test('the deletion of a former key', async (t) => {
  const service = await startService(t, { SETTLE_SECONDS: '0' });
  const { create, get, replace, stateOf, owned } = helpersOf(service);
  const { call, control, kms, services } = service;

  t.test('is not kept waiting by that of another', async (t) => {
    const first = await create();
    await control.fault({ operation: 'ScheduleKeyDeletion', ...denied, times: 2 });
    t.equal((await replace(first.id)).status, 202);
    const second = await get(first.id);
    await replace(first.id, { ...ecc, customer_master_key_spec: 'ECC_NIST_P384' });
    t.equal(await stateOf(first.key_id), 'Enabled');
    await eventually('the other is scheduled', async () => (await stateOf(second.key_id)) === 'PendingDeletion');
    t.match((await get(first.id)).status.error?.message, first.arn);
    t.equal((await call('POST', `/v1/keys/${first.id}/sync`)).body.status.error, null);
    t.equal(await stateOf(first.key_id), 'PendingDeletion');
  });

  t.test('may come to nothing by no import', async (t) => {
    const old = await create();
    await control.fault({ operation: 'ScheduleKeyDeletion', ...denied });
    await replace(old.id);
    await kms.send(new UntagResourceCommand({ KeyId: old.key_id ?? '', TagKeys: ['keyward:id'] }));
    const { status, body } = await call<Problem>('POST', '/v1/keys/import', { key_id: old.key_id });
    t.equal(status, 409);
    t.equal(body.id, old.id);
  });

  t.test('that somebody takes back makes it an unmanaged key', async (t) => {
    const old = await create();
    await replace(old.id);
    const listed = async () => {
      await sweepUnmanagedKeys(services);
      const { body } = await call<{ items: UnmanagedKey[] }>('GET', '/v1/unmanaged-keys?limit=200');
      return body.items.filter(({ claimed_id }) => claimed_id === old.id).map(({ key_id }) => key_id);
    };
    t.same(await listed(), []);
    await kms.send(new CancelKeyDeletionCommand({ KeyId: old.key_id ?? '' }));
    t.same(await listed(), [old.key_id]);
  });

  t.test('waits until an earlier deletion has been taken back', async (t) => {
    const old = await create();
    await call('DELETE', `/v1/keys/${old.id}`);
    await control.fault({ operation: 'CancelKeyDeletion', kind: 'throttle', times: 3 });
    await call('POST', `/v1/keys/${old.id}/restore`, undefined, { prefer: 'respond-async' });
    t.equal((await replace(old.id)).status, 409);
    await eventually('restored', async () => (await get(old.id)).status.state === 'in_sync');
    t.equal((await replace(old.id)).status, 200);
  });

  t.test('does not come about when the new key is lost before it was in place', async (t) => {
    const old = await create({ is_enabled: false });
    await control.fault({ operation: 'DisableKey', kind: 'throttle', times: 3 });
    await replace(old.id, ecc, { prefer: 'respond-async' });
    const made = await eventually('the new key is made', async () => {
      const [keyId] = (await owned(old.id)).filter((candidate) => candidate !== old.key_id);
      return keyId;
    });
    await control.loseKey(old.arn?.replace(/[^/]*$/, made) ?? null);
    const key = await eventually('the old key is back', async () => {
      const current = await get(old.id);
      return current.key_id === old.key_id && current.status.state === 'in_sync' && current;
    });
    t.match(key, { customer_master_key_spec: 'SYMMETRIC_DEFAULT', status: { generation: 3 } });
    // The deletion of the key that was lost is still being looked after.
    t.ok([200, 202].includes((await replace(old.id)).status), 'and can be replaced again');
  });
});

test('a worker that wakes up with the answer of a CreateKey that was settled long ago', async (t) => {
  const service = await startService(t, quick);
  const { create, get, replace, stateOf, owned, events } = helpersOf(service);

  t.test('does not take a former key for the new one', async (t) => {
    const old = await create();
    const sleeper = freezeAt(service, 'after-send');
    await replace(old.id, ecc, { prefer: 'respond-async' });
    await sleeper.frozen;
    await loseLease(service, old.id);
    const second = await untilReplaced(service, old.id);
    await service.control.fault({ operation: 'CreateKey', kind: 'throttle', times: 3 });
    await replace(old.id, { ...ecc, customer_master_key_spec: 'ECC_NIST_P384' }, { prefer: 'respond-async' });
    await eventually('the record has let go of its key', async () => (await get(old.id)).key_id === null);
    sleeper.wake();
    const third = await untilReplaced(service, old.id, 3);
    t.not(third.key_id, second.key_id);
    t.equal(await stateOf(third.key_id), 'Enabled');
    await eventually('scheduled', async () => (await stateOf(second.key_id)) === 'PendingDeletion');
    t.equal((await owned(old.id)).length, 3);
  });

  t.test('has one that KMS refused afterwards deleted, once the answer proves that it is ours', async (t) => {
    const old = await create({ is_enabled: false });
    const sleeper = freezeAt(service, 'after-send');
    await replace(old.id, ecc, { prefer: 'respond-async' });
    await sleeper.frozen;
    await service.control.fault({ operation: 'DisableKey', ...denied });
    await loseLease(service, old.id);
    await eventually('taken back', async () => {
      const key = await get(old.id);
      return key.status.state === 'in_sync' && key.status.generation === 3;
    });
    sleeper.wake();
    const [stray] = (await owned(old.id)).filter((keyId) => keyId !== old.key_id);
    await eventually('scheduled', async () => (await stateOf(stray ?? '')) === 'PendingDeletion');
    t.equal((await get(old.id)).key_id, old.key_id);
    const strays = (await events(old.id)).filter(({ type }) => type === 'key.stray');
    t.equal(strays.length, 1, 'while only its tag told whose it is, it was left');
  });

  t.test('leaves one alone that somebody has imported since KMS refused it', async (t) => {
    const old = await create({ is_enabled: false });
    const sleeper = freezeAt(service, 'after-send');
    await replace(old.id, ecc, { prefer: 'respond-async' });
    await sleeper.frozen;
    await service.control.fault({ operation: 'DisableKey', ...denied });
    await loseLease(service, old.id);
    const { prisma } = service.services.database;
    const left = await eventually('it is left', async () => {
      return (await prisma.formerKey.findFirst({ where: { key_ref: old.id, deletion: 'left' } })) ?? false;
    });
    const { status, body: imported } = await service.call('POST', '/v1/keys/import', { key_id: left.key_id });
    t.equal(status, 201);
    sleeper.wake();
    await eventually('the answer is on record', async () => {
      return (await prisma.kmsWrite.count({ where: { key_ref: left.id, made_key_id: left.key_id } })) === 1;
    });
    await eventually('the former key is seen to', async () => {
      const { former_keys_open } = await prisma.work.findUniqueOrThrow({ where: { key_ref: old.id } });
      return !former_keys_open;
    });
    t.equal(await stateOf(left.key_id), 'Enabled');
    t.match(await get(imported.id), { key_id: left.key_id, status: { state: 'in_sync' } });
  });
});

test('a rotation', async (t) => {
  const service = await startService(t, quick);
  const { create, get, replace, rotate, events, rotationsOf, staleReads } = helpersOf(service);
  const { call, control } = service;

  t.test('of unknown outcome is no word against the replacement of the key', async (t) => {
    const { id } = await create();
    await control.fault({ operation: 'RotateKeyOnDemand', kind: 'reset_before_effect' });
    const rotated = call<Problem>('POST', `/v1/keys/${id}/rotate`, undefined, { prefer: 'wait=60' });
    await eventually('the call is lost', async () => (await get(id)).status.error !== null);
    t.equal((await replace(id)).status, 200);
    t.match(await rotated, { status: 422, body: { kms_error: { code: 'KeyReplaced', operation: null } } });
    t.match(
      (await events(id)).find(({ type }) => type === 'rotation.refused'),
      { data: { error: { code: 'KeyReplaced' } } },
    );
  });

  t.test('that cannot be counted is refused, and no change along with it', async (t) => {
    const { id, key_id } = await create();
    await control.fault({ operation: 'ListKeyRotations', ...denied });
    const { status, body } = await call<Problem>('POST', `/v1/keys/${id}/rotate`);
    t.equal(status, 422);
    t.match(body.kms_error, { code: 'ValidationException', operation: 'ListKeyRotations' });
    t.match((await get(id)).status, { state: 'in_sync', error: null });
    await control.fault({ operation: 'RotateKeyOnDemand', kind: 'reset_before_effect' });
    await rotate(id, { prefer: 'respond-async' });
    await eventually('the call is lost', async () => (await get(id)).status.error !== null);
    await control.fault({ operation: 'ListKeyRotations', ...denied });
    t.ok((await call('PATCH', `/v1/keys/${id}`, { description: 'new' }, { prefer: 'wait=2' })).status < 300);
    t.match(await get(id), { description: 'new', status: { generation: 2 } });
    t.equal((await metadata(service.kms, key_id ?? '')).Description, 'new');
  });

  t.test('is not taken for the one before it, which reads do not show yet', async (t) => {
    const { id, key_id } = await create();
    await staleReads(0.8);
    t.equal((await rotate(id)).status, 200);
    await control.fault({ operation: 'RotateKeyOnDemand', kind: 'reset_before_effect' });
    await rotate(id, { prefer: 'wait=30' });
    await staleReads(0);
    t.equal(await rotationsOf(key_id), 2);
  });

  t.test('is not made twice by a worker that slept while another asked for it', async (t) => {
    const { id, key_id } = await create();
    const sleeper = await freezeAtRead(service, 'ListKeyRotationsCommand');
    await rotate(id, { prefer: 'respond-async' });
    await sleeper.frozen;
    await control.fault({ operation: 'RotateKeyOnDemand', kind: 'reset_after_effect' });
    const other = freezeAt(service, 'write-failed');
    await loseLease(service, id);
    await other.frozen;
    t.equal(await rotationsOf(key_id), 1, 'the other has asked, and does not know the outcome');
    sleeper.wake();
    await sleeper.over;
    other.wake();
    await eventually('it is done', async () => (await events(id)).some(({ type }) => type === 'rotation.done'));
    t.equal(await rotationsOf(key_id), 1);
  });
});

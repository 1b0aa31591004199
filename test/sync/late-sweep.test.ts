import { CreateKeyCommand } from '@aws-sdk/client-kms';
import { test } from 'tap';
import { accessTo } from '../../src/services/providers/access.ts';
import { sweepUnmanagedKeys } from '../../src/services/unmanaged/sweep.ts';
import { freezeAt, gate, silenceWorker } from '../support/frozen.ts';
import { allKeyIds, metadata } from '../support/kms-truth.ts';
import { eventually, startService } from '../support/service.ts';

type Service = Awaited<ReturnType<typeof startService>>;

/** Starts a sweep, and holds it when it has read the tags of a key. */
async function sweepThatIsHeld({ services }: Service) {
  const { kms } = await accessTo(services, 'default');
  const [read, goesOn] = [gate(), gate()];
  kms.reads.middlewareStack.add(
    (next, { commandName }) =>
      async (args) => {
        const answer = await next(args);
        if (commandName !== 'ListResourceTagsCommand') return answer;
        kms.reads.middlewareStack.remove('hold');
        read.open();
        await goesOn.promise;
        return answer;
      },
    { step: 'initialize', name: 'hold' },
  );
  const swept = sweepUnmanagedKeys(services);
  await read.promise;
  return {
    finish: () => {
      goesOn.open();
      return swept;
    },
  };
}

async function untilHeld({ call }: Service, id: string, generation: number) {
  return eventually('it is in sync', async () => {
    const { body } = await call('GET', `/v1/keys/${id}`);
    return body.status.state === 'in_sync' && body.status.generation === generation && body;
  });
}

test('a sweep that saw a key before its record had it does not give it back amid its replacement', async (t) => {
  const service = await startService(t, { SETTLE_SECONDS: '0' });
  const { call, kms } = service;
  const creator = freezeAt(service, 'after-send');
  const { body: key } = await call('POST', '/v1/keys', {}, { prefer: 'respond-async' });
  await creator.frozen;
  const sweep = await sweepThatIsHeld(service);
  creator.wake();
  const old = await untilHeld(service, key.id, 1);
  const replacer = freezeAt(service, 'replacement-begun');
  const ecc = { customer_master_key_spec: 'ECC_NIST_P256', key_usage: 'SIGN_VERIFY' };
  await call('POST', `/v1/keys/${key.id}/replace`, ecc, { prefer: 'respond-async' });
  await replacer.frozen;
  await silenceWorker(service, key.id);
  await sweep.finish();
  replacer.wake();
  const replaced = await untilHeld(service, key.id, 2);
  t.not(replaced.key_id, old.key_id);
  t.equal((await metadata(kms, replaced.key_id ?? '')).KeyState, 'Enabled');
  await eventually(
    'the old key is scheduled',
    async () => (await metadata(kms, old.key_id ?? '')).KeyState === 'PendingDeletion',
  );
  t.equal((await allKeyIds(kms)).length, 2);
});

test('a worker that wakes up when a sweep has given its record a key makes no other', async (t) => {
  const service = await startService(t, { SETTLE_SECONDS: '0' });
  const { call, kms, services } = service;
  const creator = freezeAt(service, 'lease-taken');
  const { body: key } = await call('POST', '/v1/keys', {}, { prefer: 'respond-async' });
  await creator.frozen;
  // Its key, of which the record knows nothing: as when the database was restored from an older backup.
  await kms.send(new CreateKeyCommand({ Tags: [{ TagKey: 'keyward:id', TagValue: key.id }] }));
  await silenceWorker(service, key.id);
  // The sweep's own wake-up comes late.
  services.queue.wake = async () => {};
  await services.database.prisma.key.updateMany({ data: { due_at: null } });
  await sweepUnmanagedKeys(services);
  await services.database.prisma.key.updateMany({ data: { due_at: null } });
  let isShutOut = false;
  services.log.warn = (_what: unknown, message?: unknown) => {
    if (message === 'another worker took over') isShutOut = true;
  };
  creator.wake();
  await eventually('it is done', async () => isShutOut || (await allKeyIds(kms)).length > 1);
  await services.database.prisma.key.updateMany({ data: { due_at: new Date() } });
  await untilHeld(service, key.id, 1);
  t.equal((await allKeyIds(kms)).length, 1);
});

test('a sweep that comes between CreateKey and its record does not call the key unmanaged', async (t) => {
  const service = await startService(t);
  const { call, services } = service;
  const creator = freezeAt(service, 'after-send');
  const { body: key } = await call('POST', '/v1/keys', {}, { prefer: 'respond-async' });
  await creator.frozen;
  await sweepUnmanagedKeys(services);
  const sweep = await sweepThatIsHeld(service);
  creator.wake();
  await untilHeld(service, key.id, 1);
  await sweep.finish();
  t.same(await services.database.prisma.foreignKey.findMany(), []);
  t.equal(await services.database.prisma.event.count({ where: { type: 'unmanaged_key.found' } }), 0);
});

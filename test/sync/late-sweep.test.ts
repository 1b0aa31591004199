import { test } from 'tap';
import { accessTo } from '../../src/services/providers/access.ts';
import { sweepUnmanagedKeys } from '../../src/services/unmanaged/sweep.ts';
import { freezeAt, gate, goThrough } from '../support/frozen.ts';
import { eventually, startService } from '../support/service.ts';

type Service = Awaited<ReturnType<typeof startService>>;

/** Starts a sweep, and holds it when it has read the tags of a key. */
async function sweepThatIsHeld({ services }: Service) {
  const { kms } = await accessTo(services, 'default');
  const [read, goesOn] = [gate(), gate()];
  const end = goThrough(kms.reads, 'hold', (next, { commandName }) => async (args) => {
    const answer = await next(args);
    if (commandName !== 'ListResourceTagsCommand') return answer;
    end();
    read.open();
    await goesOn.promise;
    return answer;
  });
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

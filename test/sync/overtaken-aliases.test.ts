/** Names that one key is to lose while another takes them: the call that is late does not take them from the other for long. */
import { test } from 'tap';
import { accessTo } from '../../src/services/providers/access.ts';
import { aliases } from '../support/kms-truth.ts';
import { eventually, startService } from '../support/service.ts';

const [kept, moved] = ['alias/late/kept', 'alias/late/moved'];

/** A gate that the first to come by waits at. */
function gate() {
  let open = () => {};
  let isWaiting = false;
  const opened = new Promise<void>((resolve) => {
    open = resolve;
  });
  const pass = () => {
    if (isWaiting) return undefined;
    isWaiting = true;
    return opened;
  };
  return { open: () => open(), isWaiting: async () => isWaiting, pass };
}

for (const where of ['before it is sent', 'on its way']) {
  test(`a name is deleted of one key, late ${where}, when another has taken it: that one has it in the end`, async (t) => {
    const { call, kms, services } = await startService(t, { SETTLE_SECONDS: '1' });
    const { body: loser } = await call('POST', '/v1/keys', { aliases: [kept, moved] });
    const late = gate();
    if (where === 'before it is sent') {
      const { pass } = services.failurePoints;
      services.failurePoints.pass = (point) => (point === 'before-send' ? late.pass() : undefined) ?? pass(point);
    } else {
      const { kms: sender } = await accessTo(services, 'default');
      sender.writes.middlewareStack.add(
        (next, context) => async (args) => {
          if ((context as { commandName?: string }).commandName === 'DeleteAliasCommand') await late.pass();
          return next(args);
        },
        { step: 'initialize', name: 'late', override: true },
      );
    }
    const path = `/v1/keys/${loser.id}`;
    await call('PATCH', path, { aliases: [kept] }, { prefer: 'respond-async' });
    await eventually('DeleteAlias is about to be sent', late.isWaiting);
    const { status, body: taker } = await call('POST', '/v1/keys?take_aliases=true', { aliases: [moved] });
    t.equal(status, 201);
    t.same(await aliases(kms, taker.key_id ?? ''), [moved]);
    late.open();
    await eventually('the change is carried out', async () => {
      const { body } = await call('GET', path);
      return body.status.state === 'in_sync' && body.status.synced_generation === body.status.generation;
    });
    await eventually('the other key has its alias', async () => {
      const { body } = await call('GET', `/v1/keys/${taker.id}`);
      return body.status.state === 'in_sync' && (await aliases(kms, taker.key_id ?? '')).includes(moved);
    });
    t.same(await aliases(kms, loser.key_id ?? ''), [kept]);
    t.same((await call('GET', `/v1/keys/${taker.id}`)).body.aliases, [moved]);
  });
}

import { test } from 'tap';
import { argumentNames, argumentTable, nothingDeclared } from '../../src/domain/arguments.ts';
import type { Revision } from '../../src/schemas/history.ts';
import { otherThanDefault } from '../support/argument-values.ts';
import { ownPolicy } from '../support/kms-truth.ts';
import { startService } from '../support/service.ts';

/** Each argument that can be changed, but for those that are many things under one name. */
const names = argumentNames.filter(
  (name) => argumentTable[name].kind !== 'fixed' && name !== 'policy' && name !== 'tags',
);
const given = Object.fromEntries(names.map((name) => [name, otherThanDefault(name)]));
const standard = Object.fromEntries(names.map((name) => [name, nothingDeclared[name]]));
const none = Object.fromEntries(names.map((name) => [name, null]));
const lockout = { ...ownPolicy('x'), Statement: [{ ...ownPolicy('x').Statement[0], Action: 'kms:Decrypt' }] };
/** A change of each that KMS refuses at its end. */
const refused = { ...given, bypass_policy_lockout_safety_check: false, policy: lockout };

test('each argument is kept, changed, refused, taken back and brought back like the others', async (t) => {
  const { call, services } = await startService(t, { SETTLE_SECONDS: '0' });
  const holds = async (at: string) => {
    const { body } = await call('POST', `${at}/refresh`);
    t.same(body.status.drift, [], 'and KMS holds it');
  };

  t.test('declared, changed, taken back, brought back', async (t) => {
    const { status, body: key } = await call('POST', '/v1/keys', given);
    t.equal(status, 201);
    const at = `/v1/keys/${key.id}`;
    t.match((await call('GET', at)).body, given, 'declared');
    await holds(at);
    t.match((await call('PATCH', at, none)).body, standard, 'null restores the default');
    t.equal((await call('PATCH', at, refused)).status, 422);
    t.match(
      (await call('GET', at)).body,
      { ...standard, status: { state: 'in_sync' } },
      'a refused change is taken back',
    );
    await holds(at);
    t.match((await call('POST', `${at}/rollback`, { generation: 1 })).body, given, 'brought back');
    await holds(at);
    const { body } = await call<{ items: Revision[] }>('GET', `${at}/revisions?limit=1`);
    t.hasProps(body.items[0]?.changes ?? {}, names, 'and each change is told');
  });

  /** As a revision is that was made before Keyward knew of any of them. */
  const createOld = async () => {
    const { body } = await call('POST', '/v1/keys', { tags: { old: 'yes' } });
    await services.database.pool.query(
      'UPDATE revisions SET desired = (desired::jsonb - $2::text[])::json WHERE key_ref = $1 AND generation = 1',
      [body.id, names],
    );
    return `/v1/keys/${body.id}`;
  };

  t.test('a refused PATCH of a key with a revision that is older than it leaves nothing of it behind', async (t) => {
    const at = await createOld();
    t.equal((await call('PATCH', at, { ...refused, tags: null })).status, 422);
    t.match((await call('GET', at)).body, { ...standard, tags: { old: 'yes' } });
    await holds(at);
  });

  t.test(
    'a revision that is older than it is shown, and brought back, as if it had declared the default',
    async (t) => {
      const at = await createOld();
      t.equal((await call('PATCH', at, given)).status, 200);
      const { body } = await call<{ items: Revision[] }>('GET', `${at}/revisions`);
      t.match(body.items.at(-1)?.desired, { ...standard, tags: { old: 'yes' } });
      t.match(await call('POST', `${at}/rollback`, { generation: 1 }), { status: 200, body: standard });
      await holds(at);
    },
  );
});

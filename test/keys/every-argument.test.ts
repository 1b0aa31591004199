import { test } from 'tap';
import { argumentNames, argumentTable, nothingDeclared } from '../../src/domain/arguments.ts';
import type { Revision } from '../../src/schemas/history.ts';
import { othersThanDefault } from '../support/argument-values.ts';
import { ownPolicy } from '../support/kms-truth.ts';
import { startService } from '../support/service.ts';

/** Each argument that can be changed, but for those that are many things under one name. */
const names = argumentNames.filter(
  (name) => argumentTable[name].kind !== 'fixed' && name !== 'policy' && name !== 'tags',
);
const given = Object.fromEntries(names.map((name) => [name, othersThanDefault(name).at(0)]));
/** For another key: some values can be of one key alone. */
const givenElsewhere = Object.fromEntries(names.map((name) => [name, othersThanDefault(name).at(-1)]));
const standard = Object.fromEntries(names.map((name) => [name, nothingDeclared[name]]));
const none = Object.fromEntries(names.map((name) => [name, null]));
const lockout = { ...ownPolicy('x'), Statement: [{ ...ownPolicy('x').Statement[0], Action: 'kms:Decrypt' }] };
/** A change of each that KMS refuses at its end. */
const refused = { bypass_policy_lockout_safety_check: false, policy: lockout };

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
    t.equal((await call('PATCH', at, { ...given, ...refused })).status, 422);
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

  t.test('a revision that is older than it is read as if it had declared the default', async (t) => {
    const { body: key } = await call('POST', '/v1/keys', { tags: { old: 'yes' } });
    await services.database.pool.query(
      'UPDATE revisions SET desired = (desired::jsonb - $2::text[])::json WHERE key_ref = $1 AND generation = 1',
      [key.id, names],
    );
    const at = `/v1/keys/${key.id}`;
    t.equal((await call('PATCH', at, { ...givenElsewhere, ...refused, tags: null })).status, 422);
    t.match(
      (await call('GET', at)).body,
      { ...standard, tags: { old: 'yes' } },
      'a refused change leaves nothing behind',
    );
    await holds(at);
    t.equal((await call('PATCH', at, givenElsewhere)).status, 200);
    const { body } = await call<{ items: Revision[] }>('GET', `${at}/revisions`);
    t.match(body.items.at(-1)?.desired, { ...standard, tags: { old: 'yes' } }, 'it is shown whole');
    const back = await call('POST', `${at}/rollback`, { generation: 1 });
    t.match(back, { status: 200, body: standard }, 'and brought back whole');
    await holds(at);
  });
});

import { test } from 'tap';
import type { Revision } from '../../src/schemas/history.ts';
import { ownPolicy } from '../support/kms-truth.ts';
import { startService } from '../support/service.ts';

const lockout = { ...ownPolicy('x'), Statement: [{ ...ownPolicy('x').Statement[0], Action: 'kms:Decrypt' }] };

test('a revision that is older than a field is read as if it had declared the default', async (t) => {
  const { call, services } = await startService(t);
  const makeOld = (id: string) =>
    services.database.pool.query(
      `UPDATE revisions SET desired = (desired::jsonb - 'deletion_protection' - 'deletion_window_in_days')::json
       WHERE key_ref = $1 AND generation = 1`,
      [id],
    );
  const young = { deletion_protection: true, deletion_window_in_days: 7 };
  const standard = { deletion_protection: false, deletion_window_in_days: 30 };

  t.test('a refused PATCH leaves nothing of the field behind', async (t) => {
    const { body: key } = await call('POST', '/v1/keys', { description: 'old' });
    await makeOld(key.id);
    t.equal((await call('PATCH', `/v1/keys/${key.id}`, { ...young, policy: lockout })).status, 422);
    t.match((await call('GET', `/v1/keys/${key.id}`)).body, { ...standard, description: 'old' });
  });

  t.test('it is shown whole, and brought back whole', async (t) => {
    const { body: key } = await call('POST', '/v1/keys', { description: 'old' });
    await makeOld(key.id);
    t.equal((await call('PATCH', `/v1/keys/${key.id}`, { ...young, description: 'new' })).status, 200);
    const { body } = await call<{ items: Revision[] }>('GET', `/v1/keys/${key.id}/revisions`);
    t.match(body.items.at(-1)?.desired, { ...standard, description: 'old' });
    t.match(await call('POST', `/v1/keys/${key.id}/rollback`, { generation: 1 }), {
      status: 200,
      body: { ...standard, description: 'old' },
    });
  });
});

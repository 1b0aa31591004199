import { test } from 'tap';
import { startWithRegions } from '../support/regions.ts';
import { eventually } from '../support/service.ts';

const many = 12;
const promptly = { prefer: 'respond-async' };

test('replicas that wait for the quota of their primary keys hold nothing, and nothing else up', async (t) => {
  const { call, control, services } = await startWithRegions(t);
  const made = await Promise.all(Array.from({ length: many }, () => call('POST', '/v1/keys', { multi_region: true })));
  const quotas = { requests_per_second: { ReplicateKey: 1 } };
  t.equal((await call('PATCH', '/v1/providers/default', { quotas })).status, 200);
  const replications = async () => (await control.calls()).filter(({ operation }) => operation === 'ReplicateKey');
  const asked = made.map(({ body }) => call('POST', `/v1/keys/${body.id}/replicas`, { provider: 'eu' }, promptly));
  const replicas = (await Promise.all(asked)).map(({ body }) => body);
  await eventually('some are made', async () => (await replications()).length >= 2);

  const { rows } = await services.database.pool.query(`SELECT
    (SELECT count(*)::int FROM work WHERE lease_token IS NOT NULL) AS leases,
    (SELECT count(*)::int FROM kms_writes WHERE outcome IS NULL) AS writes`);
  t.ok(rows[0].leases <= 3, `${rows[0].leases} leases`);
  t.ok(rows[0].writes <= 3, `${rows[0].writes} rows of the journal`);
  t.equal((await call('POST', '/v1/keys', { provider: 'eu' })).status, 201, 'a key of that Region is made');
  const last = replicas.at(-1);
  const states = await Promise.all(replicas.map(async ({ id }) => (await call('GET', `/v1/keys/${id}`)).body));
  const waiting = states.find(({ id, key_id }) => key_id === null && id !== last?.id);
  t.equal((await call('DELETE', `/v1/keys/${waiting?.id}`)).status, 204, 'one that waits is let go of at once');
  t.ok((await replications()).length < many - 1, 'before all are made');
  await eventually('the others are made', async () => {
    const { body } = await call<{ items: object[] }>('GET', '/v1/keys?provider=eu&state=in_sync');
    return body.items.length === many;
  });
  t.equal((await replications()).length, many - 1, 'each once');
});

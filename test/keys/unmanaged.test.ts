import { CreateKeyCommand, DescribeKeyCommand } from '@aws-sdk/client-kms';
import { test } from 'tap';
import type { UnmanagedKey } from '../../src/schemas/unmanaged.ts';
import { sweepUnmanagedKeys } from '../../src/services/unmanaged/sweep.ts';
import { tags } from '../support/kms-truth.ts';
import { eventually, startService, withLateSecondLooks } from '../support/service.ts';

type Page = { items: UnmanagedKey[]; next_cursor: string | null };

test('GET /v1/unmanaged-keys', async (t) => {
  const { call, kms } = await startService(t);
  const list = async (query = '') => (await call<Page>('GET', `/v1/unmanaged-keys${query}`)).body;
  const managed = await call('POST', '/v1/keys', { description: 'managed' });
  await kms.send(new DescribeKeyCommand({ KeyId: 'alias/aws/s3' }));
  t.same(await list(), { items: [], next_cursor: null }, 'neither managed keys nor those of AWS');

  const { KeyMetadata } = await kms.send(
    new CreateKeyCommand({ Description: 'outside', Tags: [{ TagKey: 'team', TagValue: 'ops' }] }),
  );
  const { items } = await list('?provider=default');
  t.match(items, [
    {
      provider: 'default',
      key_id: KeyMetadata?.KeyId,
      arn: KeyMetadata?.Arn,
      description: 'outside',
      key_state: 'Enabled',
      tags: { team: 'ops' },
      claimed_id: null,
    },
  ]);

  t.test('by cursor, without gaps or doubles', async (t) => {
    for (let index = 0; index < 6; index += 1) await kms.send(new CreateKeyCommand({ Description: `${index}` }));
    const seen: string[] = [];
    let path: string | null = '?limit=2';
    while (path !== null) {
      const page: Page = await list(path);
      t.ok(page.items.length <= 2);
      seen.push(...page.items.map(({ key_id }) => key_id));
      path = page.next_cursor === null ? null : `?limit=2&cursor=${page.next_cursor}`;
    }
    t.equal(seen.length, 7);
    t.equal(new Set(seen).size, 7);
    t.notOk(seen.includes(managed.body.key_id ?? ''));
  });

  t.test('an imported key is not among them any more', async (t) => {
    await call('POST', '/v1/keys/import', { key_id: KeyMetadata?.KeyId });
    t.notOk((await list('?limit=200')).items.some(({ key_id }) => key_id === KeyMetadata?.KeyId));
  });

  t.test('what is not understood', async (t) => {
    t.equal((await call('GET', '/v1/unmanaged-keys?limit=0')).status, 400);
    t.equal((await call('GET', '/v1/unmanaged-keys?cursor=nonsense')).status, 400);
    t.equal((await call('GET', '/v1/unmanaged-keys?colour=red')).status, 400);
    t.equal((await call('GET', '/v1/unmanaged-keys?provider=nowhere')).status, 404);
  });
});

test('keys that carry the ownership tag and have no record, as after the restore of an older backup', async (t) => {
  const { call, kms, control, services } = await startService(t, withLateSecondLooks);
  const { pool } = services.database;
  const sweep = () => sweepUnmanagedKeys(services);
  const eventsOf = async (id: string) =>
    (
      await pool.query<{ type: string; data: object }>(
        'SELECT type, data FROM events WHERE key_ref = $1 ORDER BY seq',
        [id],
      )
    ).rows;
  const { body: lost } = await call('POST', '/v1/keys', { description: 'lost', tags: { team: 'ops' } });
  const { body: halfLost } = await call('POST', '/v1/keys', { description: 'half lost' });
  // The backup was made before the one was recorded, and before the other got its key.
  await pool.query('DELETE FROM keys WHERE id = $1', [lost.id]);
  await pool.query('DELETE FROM revisions WHERE key_ref = $1', [lost.id]);
  await pool.query(
    "UPDATE keys SET key_id = NULL, arn = NULL, state = 'failed', synced_generation = 0, observed = NULL WHERE id = $1",
    [halfLost.id],
  );

  t.test('the list shows which record they claim', async (t) => {
    const { body } = await call<Page>('GET', '/v1/unmanaged-keys');
    const claims = new Map(body.items.map(({ key_id, claimed_id }) => [key_id, claimed_id]));
    t.same(
      claims,
      new Map([
        [lost.key_id, lost.id],
        [halfLost.key_id, halfLost.id],
      ]),
    );
  });

  t.test('a sweep reports each, once, and gives nothing to anybody', async (t) => {
    await pool.query("UPDATE chores SET due_at = now() WHERE name = 'sweep-unmanaged-keys'");
    const reported = "SELECT FROM events WHERE type = 'unmanaged_key.found'";
    await eventually('the sweep is done when its time comes', async () => (await pool.query(reported)).rowCount === 2);
    await sweep();
    for (const { id, arn } of [lost, halfLost]) {
      const found = (await eventsOf(id)).filter(({ type }) => type === 'unmanaged_key.found');
      t.match(found, [{ data: { arn, arn_on_record: null } }]);
      t.equal(found.length, 1);
    }
    const { body: metrics } = await call<string>('GET', '/metrics');
    t.match(metrics, /keyward_unmanaged_keys\{provider="default"\} 2/);
    t.match(await tags(kms, lost.key_id ?? ''), { 'keyward:id': lost.id });
    t.match((await call('GET', `/v1/keys/${halfLost.id}`)).body, { key_id: null, status: { state: 'failed' } });
  });

  t.test('one whose record exists without a key is found by its next sync', async (t) => {
    const { body } = await call('POST', `/v1/keys/${halfLost.id}/sync`);
    t.match(body, { key_id: halfLost.key_id, arn: halfLost.arn, status: { state: 'in_sync' } });
    const creations = (await control.calls()).filter(({ operation }) => operation === 'CreateKey');
    t.equal(creations.length, 2, 'no further key was made');
  });

  t.test('importing the lost one brings it back under its id', async (t) => {
    const { status, body } = await call('POST', '/v1/keys/import', { key_id: lost.key_id });
    t.equal(status, 201);
    t.match(body, { id: lost.id, description: 'lost', tags: { team: 'ops' } });
    await sweep();
    t.same((await call<Page>('GET', '/v1/unmanaged-keys')).body.items, []);
  });

  t.test('the tags of a foreign key are read once a day, not at every sweep', async (t) => {
    await kms.send(new CreateKeyCommand({ Description: 'foreign' }));
    await sweep();
    await control.clear();
    await sweep();
    const operations = (await control.calls({ reads: true })).map(({ operation }) => operation);
    t.same(operations, ['ListKeys']);
  });
});

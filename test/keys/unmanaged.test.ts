import {
  CreateAliasCommand,
  CreateKeyCommand,
  type CreateKeyCommandInput,
  DescribeKeyCommand,
  ReplicateKeyCommand,
} from '@aws-sdk/client-kms';
import { test } from 'tap';
import type { UnmanagedKeyList } from '../../src/schemas/unmanaged.ts';
import { sweepUnmanagedKeys } from '../../src/services/unmanaged/sweep.ts';
import { tags } from '../support/kms-truth.ts';
import { caller, eventually, startService, withLateSecondLooks } from '../support/service.ts';

test('GET /v1/unmanaged-keys', async (t) => {
  const { call, kms, kmsUrl, control, services } = await startService(t);
  const sweep = () => sweepUnmanagedKeys(services);
  const list = async (query = '') => {
    const { status, body } = await call<UnmanagedKeyList>('GET', `/v1/unmanaged-keys${query}`);
    if (status !== 200) throw new Error(`${query}: ${status} ${JSON.stringify(body)}`);
    return body;
  };
  const idsOf = async (query = '') => (await list(query)).items.map(({ key_id }) => key_id);
  const makeOutside = async (Description: string, more: Partial<CreateKeyCommandInput> = {}) =>
    (await kms.send(new CreateKeyCommand({ Description, ...more }))).KeyMetadata ?? { KeyId: '', Arn: '' };
  const managed = await call('POST', '/v1/keys', { description: 'managed' });
  const { KeyMetadata: ofAws } = await kms.send(new DescribeKeyCommand({ KeyId: 'alias/aws/s3' }));
  const outside = await makeOutside('outside', { Tags: [{ TagKey: 'team', TagValue: 'ops' }] });
  const KeyId = outside.KeyId ?? '';
  await kms.send(new CreateAliasCommand({ AliasName: 'alias/outside', TargetKeyId: KeyId }));
  const primary = await makeOutside('primary', { MultiRegion: true });

  t.test('before the first sweep nothing is known, and the sweep is soon', async (t) => {
    t.match(await list(), {
      items: [],
      next_cursor: null,
      sweeps: [{ provider: 'default', as_of: null, error: null }],
    });
    const swept = () => list().then(({ sweeps }) => sweeps[0]?.as_of ?? undefined);
    t.ok(await eventually('it is swept', swept));
  });

  t.test('as the sweep saw them, without a word to KMS', async (t) => {
    await sweep();
    await control.clear();
    const { items, sweeps } = await list('?provider=default');
    t.same(await control.calls({ reads: true }), []);
    t.match(
      items.find(({ key_id }) => key_id === KeyId),
      {
        provider: 'default',
        arn: outside.Arn,
        description: 'outside',
        key_usage: 'ENCRYPT_DECRYPT',
        customer_master_key_spec: 'SYMMETRIC_DEFAULT',
        multi_region: false,
        key_state: 'Enabled',
        key_manager: 'CUSTOMER',
        is_replica: false,
        creation_date: /^2/,
        deletion_date: null,
        tags: { team: 'ops' },
        aliases: ['alias/outside'],
        claimed_id: null,
        observed_at: /^2/,
      },
    );
    t.match(sweeps, [{ provider: 'default', as_of: /^2/, error: null }]);
    t.same(new Set(await idsOf()), new Set([KeyId, primary.KeyId]), 'neither managed keys nor those of AWS');
  });

  t.test('AWS managed keys and replicas on request, shown as what they are', async (t) => {
    await call('POST', '/v1/providers', { name: 'eu', region: 'eu-west-1' });
    await kms.send(new ReplicateKeyCommand({ KeyId: primary.KeyId, ReplicaRegion: 'eu-west-1' }));
    await sweep();
    t.same(await idsOf('?provider=eu'), []);
    const { items } = await list('?include=aws,replicas');
    t.match(
      items.find(({ provider }) => provider === 'eu'),
      { key_id: primary.KeyId, is_replica: true, multi_region: true },
    );
    t.match(
      items.find(({ key_id }) => key_id === ofAws?.KeyId),
      { key_manager: 'AWS', aliases: ['alias/aws/s3'], tags: {} },
    );
    t.notOk((await idsOf('?include=replicas')).includes(ofAws?.KeyId ?? ''));
    t.equal((await call('GET', '/v1/unmanaged-keys?include=all')).status, 400);
  });

  t.test('filters', async (t) => {
    for (const query of ['?tag=team:ops', '?tag=team', '?alias=alias/outside', '?q=OUTSIDE', '?q=ops', `?q=${KeyId}`]) {
      t.same(await idsOf(query), [KeyId], query);
    }
    for (const query of ['?tag=team:cards', '?alias=alias/out', '?q=nowhere', '?q=%25', '?provider=eu&q=outside']) {
      t.same(await idsOf(query), [], query);
    }
  });

  t.test('by cursor, without gaps or doubles', async (t) => {
    for (let index = 0; index < 5; index += 1) await makeOutside(`${index}`);
    await sweep();
    const seen: string[] = [];
    let path: string | null = '?limit=2';
    while (path !== null) {
      const page: UnmanagedKeyList = await list(path);
      t.ok(page.items.length <= 2);
      seen.push(...page.items.map(({ key_id }) => key_id));
      path = page.next_cursor === null ? null : `?limit=2&cursor=${page.next_cursor}`;
    }
    t.equal(seen.length, 7);
    t.equal(new Set(seen).size, 7);
    t.notOk(seen.includes(managed.body.key_id ?? ''));
  });

  t.test('what KMS does not tell is null, and no reason to leave a key out', async (t) => {
    const hidden = await makeOutside('hidden');
    const faults = ['DescribeKey', 'ListResourceTags'].map((operation) => ({
      operation,
      key_id: hidden.KeyId,
      kind: 'error',
      type: 'AccessDeniedException',
      times: null,
    }));
    await control.fault(...faults, {
      operation: 'ListAliases',
      kind: 'error',
      type: 'AccessDeniedException',
      times: null,
    });
    await sweep();
    await control.clearFaults();
    const untold = {
      description: null,
      key_state: null,
      key_manager: null,
      is_replica: null,
      tags: null,
      aliases: null,
    };
    const { items } = await list();
    t.match(
      items.find(({ key_id }) => key_id === hidden.KeyId),
      untold,
    );
    t.match(
      items.find(({ key_id }) => key_id === KeyId),
      { aliases: null, tags: { team: 'ops' } },
    );
    await sweep();
    t.same(await idsOf('?alias=alias/outside'), [KeyId]);
  });

  t.test('a sweep that breaks off says so, and what was known stays', async (t) => {
    await control.fault({ operation: 'ListKeys', kind: 'error', type: 'AccessDeniedException', times: null });
    const before = await list();
    await sweep();
    await control.clearFaults();
    const { sweeps, items } = await list();
    t.match(sweeps[0], { as_of: before.sweeps[0]?.as_of, error: /^AccessDeniedException/ });
    t.equal(items.length, before.items.length);
    await sweep();
    t.match((await list()).sweeps[0], { error: null });
  });

  t.test('an imported key leaves the list at once, one that is gone from KMS with the next sweep', async (t) => {
    await call('POST', '/v1/keys/import', { key_id: KeyId });
    t.notOk((await idsOf('?limit=200')).includes(KeyId));
    await caller(kmsUrl)('POST', '/_local/lost-keys', { arn: primary.Arn });
    t.ok((await idsOf('?limit=200')).includes(primary.KeyId ?? ''));
    await sweep();
    t.notOk((await idsOf('?limit=200')).includes(primary.KeyId ?? ''));
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
    await sweep();
    const { body } = await call<UnmanagedKeyList>('GET', '/v1/unmanaged-keys');
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
    t.same((await call<UnmanagedKeyList>('GET', '/v1/unmanaged-keys')).body.items, []);
  });

  t.test('the tags of a foreign key are read once a day, not at every sweep', async (t) => {
    await kms.send(new CreateKeyCommand({ Description: 'foreign' }));
    await sweep();
    await control.clear();
    await sweep();
    const operations = (await control.calls({ reads: true })).map(({ operation }) => operation);
    t.same(operations, ['ListAliases', 'ListKeys']);
  });
});

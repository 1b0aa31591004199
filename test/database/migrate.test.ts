import { randomUUID } from 'node:crypto';
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import { CreateGrantCommand, ListGrantsCommand } from '@aws-sdk/client-kms';
import type { Client } from 'pg';
import { type Test, test } from 'tap';
import { splitMigration } from '../../scripts/migration-files.ts';
import { migrate } from '../../src/database/migrate.ts';
import { nothingDeclared } from '../../src/domain/arguments.ts';
import { onDemandRotations } from '../support/kms-truth.ts';
import { connectTo, newDatabase } from '../support/postgres.ts';
import { eventually, startService } from '../support/service.ts';

const ours = path.resolve(import.meta.dirname, '../../prisma/migrations');

/** A folder of migrations, by name. */
async function folderOf(t: Test, migrations: Record<string, string>): Promise<string> {
  const folder = await mkdtemp(path.join(os.tmpdir(), 'keyward-migrations-'));
  t.teardown(() => rm(folder, { recursive: true, force: true }));
  for (const [name, sql] of Object.entries(migrations)) {
    await mkdir(path.join(folder, name));
    await writeFile(path.join(folder, name, 'migration.sql'), sql);
  }
  return folder;
}

const appliedSql = 'SELECT migration_name FROM _prisma_migrations WHERE finished_at IS NOT NULL ORDER BY 1';

test('a migration that waits for a lock lets requests through meanwhile, and is applied once it has it', async (t) => {
  const { call, services } = await startService(t);
  const { body: key } = await call('POST', '/v1/keys', {});
  const url = services.database.pool.options.connectionString ?? '';
  const holder = await connectTo(t, url);
  // A backup, or a report, that reads for a long time.
  await holder.query('BEGIN');
  await holder.query('SELECT 1 FROM keys LIMIT 1');
  const folder = await folderOf(t, { '1_more': 'ALTER TABLE keys ADD COLUMN more text' });
  const migrated = migrate(url, { folder });
  const watcher = await connectTo(t, url);
  await eventually('the migration waits', async () => {
    const { rows } = await watcher.query("SELECT 1 FROM pg_locks WHERE mode = 'AccessExclusiveLock' AND NOT granted");
    return rows.length > 0;
  });
  t.equal((await call('GET', `/v1/keys/${key.id}`)).status, 200, 'what queues behind it comes through');
  t.equal((await call('PATCH', `/v1/keys/${key.id}`, { description: 'meanwhile' })).status, 200);
  await holder.query('COMMIT');
  t.same(await migrated, ['1_more']);
});

test('a migration that does not get its lock has changed nothing, and the next start applies it', async (t) => {
  const url = await newDatabase(t, { empty: true });
  const client = await connectTo(t, url);
  await client.query('CREATE TABLE small (id int)');
  await client.query('BEGIN');
  await client.query('SELECT 1 FROM small');
  const folder = await folderOf(t, {
    '1_two': 'CREATE TABLE other (id int);\nALTER TABLE small ADD COLUMN more text;',
  });
  await t.rejects(migrate(url, { folder, attempts: 1 }), { message: /^1_two: .*lock timeout/ });
  await client.query('COMMIT');
  t.same((await client.query("SELECT to_regclass('other') AS other")).rows, [{ other: null }]);
  t.same(await migrate(url, { folder }), ['1_two']);
  t.same(await migrate(url, { folder }), [], 'it is on record');
});

test('an extension that an administrator made in a schema of its own is found there', async (t) => {
  const url = await newDatabase(t, { empty: true });
  const client = await connectTo(t, url);
  await client.query('CREATE SCHEMA "of extensions"; CREATE EXTENSION pg_trgm SCHEMA "of extensions"');
  t.ok((await migrate(url)).includes('20261127171600_key_search_text_indexes'));
  const { rows } = await client.query("SELECT 1 FROM pg_indexes WHERE indexname = 'keys_search_text_idx'");
  t.equal(rows.length, 1);
});

test('a migration that fails has changed nothing', async (t) => {
  const url = await newDatabase(t, { empty: true });
  const client = await connectTo(t, url);
  const folder = await folderOf(t, { '1_bad': "CREATE TABLE half (id text DEFAULT ';');\nSELECT 1/0;" });
  await t.rejects(migrate(url, { folder }), { message: '1_bad: division by zero' });
  t.same((await client.query("SELECT to_regclass('half') AS half")).rows, [{ half: null }]);
});

test('indexes that are built concurrently, by replicas that start at once', async (t) => {
  const url = await newDatabase(t, { empty: true });
  const client = await connectTo(t, url);
  const folder = await folderOf(t, {
    '1_table': 'CREATE TABLE big (id int);\nINSERT INTO big SELECT generate_series(1, 2);',
    '2_index':
      '-- Two\nCREATE INDEX CONCURRENTLY "big_a" ON "big"("id");\nCREATE INDEX CONCURRENTLY "big_b" ON big(id);',
  });
  const applied = await Promise.all([migrate(url, { folder }), migrate(url, { folder }), migrate(url, { folder })]);
  t.same(applied.flat().sort(), ['1_table', '2_index'], 'each is applied once');
  t.same((await client.query(appliedSql)).rows.length, 2);

  t.test('what an attempt that failed has left of an index is built anew', async (t) => {
    const again = await folderOf(t, { '3_unique': 'CREATE UNIQUE INDEX CONCURRENTLY "big_c" ON big((id / id));' });
    await t.rejects(migrate(url, { folder: again }), { message: /^3_unique: could not create unique index/ });
    await client.query('DELETE FROM big WHERE id = 2');
    t.same(await migrate(url, { folder: again }), ['3_unique']);
    const left = "SELECT 1 FROM pg_index WHERE NOT indisvalid AND indexrelid = 'big_c'::regclass";
    t.same((await client.query(left)).rows, []);
  });

  t.test('beside other statements they are refused', async (t) => {
    const mixed = await folderOf(t, { '4_mixed': 'CREATE INDEX CONCURRENTLY "big_d" ON big(id);\nDROP TABLE big;' });
    await t.rejects(migrate(url, { folder: mixed }), { message: /^4_mixed: beside CREATE INDEX CONCURRENTLY/ });
  });
});

test('new-migration gives indexes of tables that are there already a file of their own', async (t) => {
  const sql = `-- CreateTable
CREATE TABLE "new" (
    "id" UUID NOT NULL
);

-- CreateIndex
CREATE INDEX "new_id_idx" ON "new"("id");

-- CreateIndex
CREATE UNIQUE INDEX "keys_arn_key" ON "keys"("arn");
`;
  const [whole, concurrent] = splitMigration(sql);
  t.equal(whole?.suffix, '');
  t.match(whole?.sql, /CREATE TABLE "new"[\s\S]*CREATE INDEX "new_id_idx"/);
  t.same(concurrent, {
    suffix: '_indexes',
    sql: '-- CreateIndex\nCREATE UNIQUE INDEX CONCURRENTLY "keys_arn_key" ON "keys"("arn");\n',
  });
});

test('no migration builds an index of a table that is there already in the way of its traffic', async (t) => {
  const since = '20261127110000';
  for (const name of (await readdir(ours)).filter((folder) => folder > since && folder !== 'migration_lock.toml')) {
    const sql = await readFile(path.join(ours, name, 'migration.sql'), 'utf8');
    if (sql.includes('CONCURRENTLY')) continue;
    t.notOk(
      splitMigration(sql).some(({ suffix }) => suffix === '_indexes'),
      name,
    );
  }
});

/** A database as the migrations before one have left it. */
async function databaseBefore(t: Test, migration: string) {
  const url = await newDatabase(t, { empty: true });
  const names = (await readdir(ours, { withFileTypes: true })).filter((entry) => entry.isDirectory());
  const before = names.map(({ name }) => name).filter((name) => name < migration);
  const sql = (name: string) => readFile(path.join(ours, name, 'migration.sql'), 'utf8');
  const migrations = await Promise.all(before.map(async (name) => [name, await sql(name)]));
  await migrate(url, { folder: await folderOf(t, Object.fromEntries(migrations)) });
  return { url, client: await connectTo(t, url) };
}

const id = '01a20cc5-de4a-71a8-93fa-25fe7ea14fb3';

test('a key of before its rows were two keeps what it waits for, and goes on', async (t) => {
  const { url, client } = await databaseBefore(t, '20261127133725_work');
  await client.query(
    `INSERT INTO keys (id, provider, description, key_usage, customer_master_key_spec, multi_region,
       bypass_policy_lockout_safety_check, deletion_window_in_days, is_enabled, enable_key_rotation, tags, tags_all,
       drift_policy, deletion_protection, lifecycle, state, requested_observation, served_observation, attempts, writes_open,
       status_version, gap_seen, due_at, lease_token, lease_until)
     VALUES ($1, 'default', 'old', 'ENCRYPT_DECRYPT', 'SYMMETRIC_DEFAULT', false, false, 30, true, false, '{}', '{}', 'enforce',
       false, 'managed', 'creating', 3, 2, 4, true, 7, 0, now(), $1, now() + interval '1 second')`,
    [id],
  );
  const { call, services } = await startService(t, { DATABASE_URL: url, MIGRATE_ON_START: 'true' });
  const { rows } = await client.query('SELECT requested_observation, asked FROM work');
  t.match(rows, [{ requested_observation: 3, asked: 0 }]);
  const made = await eventually('it is made', async () => {
    const { body } = await call('GET', `/v1/keys/${id}`);
    return body.status.state === 'in_sync' && body;
  });
  const { lifecycle: _lifecycle, pending_window_in_days: _window, policy: _policy, ...standard } = nothingDeclared;
  t.match(made, { ...standard, description: 'old' }, 'what is younger than it is at its default');
  t.equal((await services.database.prisma.work.findUniqueOrThrow({ where: { key_ref: id } })).served_observation, 3);
});

/** A key of before there was one table of errands, with a rotation to do. */
async function recordWithRotation(client: Client): Promise<void> {
  await client.query(
    `INSERT INTO keys (id, provider, description, key_usage, customer_master_key_spec, multi_region,
       bypass_policy_lockout_safety_check, deletion_window_in_days, is_enabled, enable_key_rotation, tags, tags_all,
       drift_policy, deletion_protection, lifecycle, state)
     VALUES ($1, 'default', 'old', 'ENCRYPT_DECRYPT', 'SYMMETRIC_DEFAULT', false, false, 30, true, false, '{}', '{}', 'enforce',
       false, 'managed', 'creating')`,
    [id],
  );
  await client.query(
    `INSERT INTO work (key_ref, provider, rotations_open, grants_open, due_at) VALUES ($1, 'default', true, false, now())`,
    [id],
  );
}

const unknownGrant = '0'.repeat(64);

test('what was asked of a key in the two tables of before is kept, what is pending is carried out, and both can still be used', async (t) => {
  const { url, client } = await databaseBefore(t, '20261128032500_errands');
  await recordWithRotation(client);
  await client.query(
    `INSERT INTO on_demand_rotations (id, key_ref, actor, request_id, count_before, lands_until, outcome, error, settled_at) VALUES
       (gen_random_uuid(), $1, 'ann', 'r-done', 3, now(), 'done', NULL, now()),
       (gen_random_uuid(), $1, 'ann', 'r-pending', NULL, NULL, 'pending', NULL, NULL)`,
    [id],
  );
  await client.query(
    `INSERT INTO grant_endings (id, key_ref, operation, grant_id, actor, request_id, outcome, error, settled_at) VALUES
       (gen_random_uuid(), $1, 'RetireGrant', 'g', 'bob', 'g-refused', 'refused', '{"code":"No"}', now()),
       (gen_random_uuid(), $1, 'RevokeGrant', $2, 'bob', 'g-pending', 'pending', NULL, NULL)`,
    [id, unknownGrant],
  );
  const role = `app_${randomUUID().replaceAll('-', '')}`;
  await client.query(`CREATE ROLE ${role}`);
  t.teardown(() => client.query(`DROP OWNED BY ${role}; DROP ROLE ${role}`));
  await client.query(`GRANT SELECT, INSERT, UPDATE, DELETE ON on_demand_rotations, grant_endings TO ${role}`);
  await migrate(url);
  const kept = async () => {
    const { rows } = await client.query(
      'SELECT operation, parameters, actor, request_id, count_before, outcome, error FROM errands ORDER BY request_id',
    );
    return rows;
  };
  const done = { operation: 'RotateKeyOnDemand', parameters: {}, actor: 'ann', request_id: 'r-done', count_before: 3 };
  const refused = { operation: 'RetireGrant', parameters: { GrantId: 'g' }, actor: 'bob', request_id: 'g-refused' };
  const revoke = { operation: 'RevokeGrant', parameters: { GrantId: unknownGrant }, actor: 'bob' };
  t.match(await kept(), [
    { ...revoke, outcome: 'pending' },
    { ...refused, outcome: 'refused', error: { code: 'No' } },
    { ...done, outcome: 'done', error: null },
    { operation: 'RotateKeyOnDemand', request_id: 'r-pending', outcome: 'pending', count_before: null },
  ]);
  const { call, kms } = await startService(t, { DATABASE_URL: url });
  const isSettled = async () => {
    const { rows } = await client.query("SELECT 1 FROM errands WHERE outcome = 'pending'");
    return rows.length === 0;
  };
  await eventually('nothing is pending', isSettled);
  t.match(await kept(), [{ outcome: 'refused', error: { code: 'NotFoundException' } }, {}, {}, { outcome: 'done' }]);
  const { key_id } = (await call('GET', `/v1/keys/${id}`)).body;
  const KeyId = key_id ?? '';
  t.equal(await onDemandRotations(kms, KeyId), 1);

  t.test('a process of the version before goes on working beside it', async (t) => {
    // As its statements are.
    const ask = (mark: string) =>
      client.query(
        `UPDATE work SET asked = asked + 1, requested_observation = requested_observation + 1,
           rotations_open = rotations_open OR $2, grants_open = grants_open OR $3, due_at = least(due_at, now())
         WHERE key_ref = $1 RETURNING requested_observation`,
        [id, mark === 'rotations_open', mark === 'grants_open'],
      );
    const given = { KeyId, GranteePrincipal: 'arn:aws:iam::111122223333:role/app', Operations: ['Decrypt' as const] };
    const { GrantId } = await kms.send(new CreateGrantCommand(given));
    await client.query('BEGIN');
    await ask('rotations_open');
    const { rows: asked } = await client.query(
      `INSERT INTO on_demand_rotations (id, key_ref, actor, request_id, outcome, created_at)
       VALUES (gen_random_uuid(), $1, 'old', 'r-old', 'pending', now()) RETURNING id, outcome, count_before`,
      [id],
    );
    t.match(asked, [{ outcome: 'pending', count_before: null }]);
    await client.query('COMMIT');
    await client.query('BEGIN');
    await ask('grants_open');
    const { rows: ending } = await client.query(
      `INSERT INTO grant_endings (id, key_ref, operation, grant_id, actor, request_id, outcome, created_at)
       VALUES (gen_random_uuid(), $1, 'RevokeGrant', $2, 'old', 'g-old', 'pending', now()) RETURNING id, outcome, grant_id`,
      [id, GrantId],
    );
    t.match(ending, [{ outcome: 'pending', grant_id: GrantId }]);
    await client.query('COMMIT');
    await eventually('nothing is pending', isSettled);
    t.equal(await onDemandRotations(kms, KeyId), 2);
    t.same((await kms.send(new ListGrantsCommand({ KeyId }))).Grants, []);
    const told = 'WHERE id = $1 AND outcome = $2 AND settled_at IS NOT NULL';
    for (const [table, row] of [
      ['on_demand_rotations', asked[0]],
      ['grant_endings', ending[0]],
    ] as const) {
      t.equal((await client.query(`SELECT 1 FROM ${table} ${told}`, [row.id, 'done'])).rowCount, 1, table);
      t.equal((await client.query(`UPDATE ${table} SET settled_at = now() WHERE id = $1`, [row.id])).rowCount, 1);
    }
    const marks = async () => (await client.query('SELECT errands_open, rotations_open, grants_open FROM work')).rows;
    const none = { errands_open: false, rotations_open: false, grants_open: false };
    await eventually('no mark is left', async () => isDeepStrictEqual(await marks(), [none]));
    await client.query('BEGIN');
    await client.query('UPDATE work SET errands_open = true');
    t.same(
      await marks(),
      [{ errands_open: true, rotations_open: true, grants_open: true }],
      'it sees what is asked here',
    );
    for (const column of ['rotations_open', 'grants_open']) await client.query(`UPDATE work SET ${column} = false`);
    t.same(await marks(), [none]);
    await client.query('ROLLBACK');
    for (const table of ['on_demand_rotations', 'grant_endings']) {
      const batch = `DELETE FROM ${table} WHERE id IN (SELECT id FROM ${table} WHERE outcome <> 'pending' LIMIT 1000)`;
      t.ok((await client.query(batch)).rowCount, table);
    }
    t.same((await client.query('SELECT 1 FROM errands')).rows, []);
    for (const table of ['errands', 'on_demand_rotations', 'grant_endings']) {
      const { rows } = await client.query("SELECT has_table_privilege($1, $2, 'INSERT') AS may", [role, table]);
      t.same(rows, [{ may: true }], table);
    }
  });
});

test('what is asked of both versions of a key is carried out, whichever is done with its own first', async (t) => {
  const { url, client } = await databaseBefore(t, '20261128032500_errands');
  await recordWithRotation(client);
  await migrate(url);
  await client.query('UPDATE work SET errands_open = errands_open OR true');
  await client.query(
    `INSERT INTO errands (id, key_ref, operation, parameters, actor, request_id)
     VALUES (gen_random_uuid(), $1, 'RevokeGrant', $2, 'bob', 'g-new')`,
    [id, { GrantId: unknownGrant }],
  );
  // A process of the version before has carried out its rotation.
  await client.query('UPDATE work SET rotations_open = false');
  await startService(t, { DATABASE_URL: url });
  await eventually('the grant is seen to', async () => {
    const { rows } = await client.query('SELECT outcome FROM errands');
    return isDeepStrictEqual(rows, [{ outcome: 'refused' }]);
  });
});

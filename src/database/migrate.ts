/**
 * Brings a database to the schema this version needs. The migrations are Prisma's files, and what was applied is on record in
 * Prisma's own table, so that `prisma migrate status` agrees. Prisma's engine sends the statements of a file one by one, in no
 * transaction and with no bound on the wait for a lock; here a file is applied whole or not at all.
 */
import { createHash, randomUUID } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { Client } from 'pg';
import { isDeadlock } from './client.ts';
import { lively, noticeLostClients } from './liveness.ts';

/** Any constant will do; it only has to be the same in every replica. */
const migrationLockId = 7_318_402_619;
const migrationsFolder = path.resolve(import.meta.dirname, '../../prisma/migrations');

/** Milliseconds for which a migration waits for a lock: whoever comes after it in the queue for the table waits as long. */
const longestLockWait = 2000;
/** How often it tries, some two minutes in all, and the milliseconds between two tries, in which the queue gets on. */
const mostAttempts = 40;
const pauseBetweenAttempts = 1000;
const pauseBetweenTurns = 200;
/** PostgreSQL's code for a lock that could not be had in time. */
const lockNotAvailable = '55P03';

type Migration = { name: string; sql: string };
type Options = { folder?: string; attempts?: number };

/**
 * Applies all pending migrations. Safe when several replicas start at once: they take turns under an advisory lock,
 * and those that come later find nothing left to do.
 * @returns the names of the migrations that were applied, oldest first.
 * @throws when the database can't be reached, or a migration fails or does not get its lock: it has changed nothing then.
 */
export async function migrate(
  connectionString: string,
  { folder = migrationsFolder, attempts = mostAttempts }: Options = {},
): Promise<string[]> {
  const client = await connect(connectionString);
  try {
    await client.query(noticeLostClients);
    const applied: string[] = [];
    for (let attempt = 1; ; attempt += 1) {
      await takeTurn(client);
      try {
        await applyPending(client, { folder, attempts }, applied);
        return applied;
      } catch (error) {
        if (!isDeadlock((error as Error).cause) || attempt >= attempts) throw error;
      }
      // Another who starts may wait for the lock of this turn, and an index that is built for it.
      await client.query('SELECT pg_advisory_unlock($1)', [migrationLockId]);
      await delay(pauseBetweenAttempts);
    }
  } finally {
    await client.end();
  }
}

async function applyPending(client: Client, { folder, attempts }: Required<Options>, applied: string[]): Promise<void> {
  const pending = await pendingOn(client, folder);
  if (pending.length > 0) await client.query(createRecord);
  for (const migration of pending) {
    await apply(client, migration, attempts);
    applied.push(migration.name);
  }
}

/**
 * The migrations that this version needs and the database lacks, oldest first.
 * @throws when the database can't be reached.
 */
export async function pendingMigrations(connectionString: string): Promise<string[]> {
  const client = await connect(connectionString);
  try {
    return (await pendingOn(client, migrationsFolder)).map(({ name }) => name);
  } finally {
    await client.end();
  }
}

async function connect(connectionString: string): Promise<Client> {
  const client = new Client({ ...lively, connectionString, application_name: 'keyward-migrate' });
  await client.connect();
  return client;
}

/**
 * Waits for the advisory lock. It asks again and again: a statement that waits keeps its snapshot, and an index that is built
 * concurrently by the holder of the lock would wait for that snapshot.
 */
async function takeTurn(client: Client): Promise<void> {
  for (;;) {
    const { rows } = await client.query('SELECT pg_try_advisory_lock($1) AS taken', [migrationLockId]);
    if (rows[0].taken) return;
    await delay(pauseBetweenTurns);
  }
}

async function pendingOn(client: Client, folder: string): Promise<Migration[]> {
  const { rows: tables } = await client.query("SELECT 1 WHERE to_regclass('_prisma_migrations') IS NOT NULL");
  const { rows } =
    tables.length === 0
      ? { rows: [] }
      : await client.query<{ migration_name: string }>(
          'SELECT migration_name FROM _prisma_migrations WHERE finished_at IS NOT NULL AND rolled_back_at IS NULL',
        );
  const applied = new Set(rows.map(({ migration_name }) => migration_name));
  return readdirSync(folder, { withFileTypes: true })
    .filter((entry) => entry.isDirectory() && !applied.has(entry.name))
    .map(({ name }) => ({ name, sql: readFileSync(path.join(folder, name, 'migration.sql'), 'utf8') }))
    .sort((a, b) => (a.name < b.name ? -1 : 1));
}

/** @throws when it fails for another reason than a lock, or has not got its lock so often. */
async function apply(client: Client, migration: Migration, attempts: number): Promise<void> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      if (isConcurrent(migration)) await applyConcurrently(client, migration);
      else await applyWhole(client, migration);
      return;
    } catch (error) {
      const { code, message } = error as Error & { code?: string };
      if (code !== lockNotAvailable || attempt >= attempts) {
        throw new Error(`${migration.name}: ${message}`, { cause: error });
      }
    }
    await delay(pauseBetweenAttempts);
  }
}

/** In one transaction with the record that it was applied. */
async function applyWhole(client: Client, migration: Migration): Promise<void> {
  await client.query('BEGIN');
  try {
    await client.query(`SET LOCAL lock_timeout = ${longestLockWait}`);
    await client.query(migration.sql);
    await record(client, migration);
    await client.query('COMMIT');
  } catch (error) {
    await client.query('ROLLBACK').catch(() => {});
    throw error;
  }
}

function isConcurrent({ sql }: Migration): boolean {
  return /\bINDEX\s+CONCURRENTLY\b/i.test(sql);
}

/** An administrator may have made pg_trgm in a schema for extensions: its operators are found wherever they are. */
const seeExtensions = `SELECT set_config('search_path', current_setting('search_path') || ', ' || quote_ident(nspname), false)
  FROM pg_extension JOIN pg_namespace ON pg_namespace.oid = extnamespace WHERE extname = 'pg_trgm'`;

const concurrentIndex = /^CREATE\s+(?:UNIQUE\s+)?INDEX\s+CONCURRENTLY\s+("[^"]+")\s+ON\s/i;

/**
 * Builds indexes beside the traffic, which PostgreSQL does in no transaction. What an attempt that was cut off left of an
 * index is of no use, and goes first. The locks that this waits for keep nobody from reading or writing.
 */
async function applyConcurrently(client: Client, migration: Migration): Promise<void> {
  await client.query(seeExtensions);
  for (const statement of statementsOf(migration)) {
    const name = concurrentIndex.exec(statement)?.[1];
    if (name === undefined) {
      throw new Error('beside CREATE INDEX CONCURRENTLY "name" ON … nothing else may stand in one file');
    }
    await client.query(`DROP INDEX CONCURRENTLY IF EXISTS ${name}`);
    await client.query(statement);
  }
  await client.query('RESET search_path');
  await record(client, migration);
}

function statementsOf({ sql }: Migration): string[] {
  return sql
    .replaceAll(/^\s*--.*$/gm, '')
    .split(';')
    .map((statement) => statement.trim())
    .filter((statement) => statement !== '');
}

/** The table that Prisma would make. */
const createRecord = `CREATE TABLE IF NOT EXISTS _prisma_migrations (
  id varchar(36) PRIMARY KEY NOT NULL,
  checksum varchar(64) NOT NULL,
  finished_at timestamptz,
  migration_name varchar(255) NOT NULL,
  logs text,
  rolled_back_at timestamptz,
  started_at timestamptz NOT NULL DEFAULT now(),
  applied_steps_count integer NOT NULL DEFAULT 0)`;

/** As Prisma would. An attempt of its engine that was cut off counts as taken back: it would apply nothing any more else. */
async function record(client: Client, { name, sql }: Migration): Promise<void> {
  await client.query(
    'UPDATE _prisma_migrations SET rolled_back_at = now() WHERE migration_name = $1 AND finished_at IS NULL AND rolled_back_at IS NULL',
    [name],
  );
  await client.query(
    `INSERT INTO _prisma_migrations (id, checksum, finished_at, migration_name, applied_steps_count)
     VALUES ($1, $2, clock_timestamp(), $3, 1)`,
    [randomUUID(), createHash('sha256').update(sql).digest('hex'), name],
  );
}

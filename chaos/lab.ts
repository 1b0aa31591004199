/** The real things: PostgreSQL, a local KMS, and replicas of the service, all processes of their own. */
import { execFile } from 'node:child_process';
import { readFile, rm } from 'node:fs/promises';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { promisify } from 'node:util';
import type { KMSClient } from '@aws-sdk/client-kms';
import { Client } from 'pg';
import { type EmbeddedPostgres, startEmbeddedPostgres } from '../src/local/postgres.ts';
import { firstLine, type Owner, run, startProxy, temporaryFolder } from '../test/support/process.ts';
import { kmsClient, kmsControl } from '../test/support/service.ts';
import { installClock } from './database-clock.ts';
import { OddKeys } from './odd-keys.ts';
import { allRegions, home } from './places.ts';
import { Replica } from './replica.ts';

/** Seconds, so short that a run takes a few of them. */
export const times = { lease: 2, deadline: 6, settle: 1 };

/** PostgreSQL keeps the places of connections that were lost without a word, and of replicas that are frozen. */
const settings = ['max_connections=400'];

export type Lab = {
  replicas: [Replica, Replica];
  /** A replica that joins and leaves. */
  guest: Replica;
  kms: KMSClient;
  /** The KMS of a Region. */
  kmsIn(region: string): KMSClient;
  control: ReturnType<typeof kmsControl>;
  /** A connection of the lab's own, made anew after PostgreSQL was away. */
  database(): Promise<Client>;
  killPostgres(): Promise<void>;
  startPostgres(): Promise<void>;
  /** Copies the cluster of a PostgreSQL that is down, and puts the copy in its place. */
  copyPostgres(): Promise<void>;
  putCopyBack(): Promise<void>;
  /** Seconds by which reads may be stale: less than the settling time. */
  staleness: number;
  oddKeys: OddKeys;
  /** Loses the connections that the replicas have, without a word to anybody. */
  blackholePostgres(): void;
  blackholeKms(): void;
};

/** Starts all of it; it ends with its owner. @param switches safeguards to leave out. */
export async function openLab(owner: Owner, switches: string[]): Promise<Lab> {
  const folder = await temporaryFolder(owner);
  const postgres = await startPostgres(owner, folder);
  await migrate(owner, postgres.proxyUrl);
  await installClock(await postgres.database());
  const kmsUrl = await startKmsProcess(owner, path.join(folder, 'kms'));
  const clients = new Map(allRegions.map((region) => [region, kmsClient(kmsUrl, '111122223333', region)]));
  const kmsIn = (region: string) => clients.get(region) ?? raise(`There is no Region ${region} in the lab`);
  const kmsProxy = await startProxy(owner, new URL(kmsUrl));
  const control = kmsControl(kmsUrl);
  owner.teardown(() => {
    for (const client of clients.values()) client.destroy();
  });
  const environment = {
    DATABASE_URL: postgres.proxyUrl,
    KMS_ENDPOINT: kmsProxy.url,
    LEASE_SECONDS: String(times.lease),
    WRITE_DEADLINE_SECONDS: String(times.deadline),
    SETTLE_SECONDS: String(times.settle),
    LOG_LEVEL: 'info',
    FAILURE_SWITCHES: switches.join(','),
  };
  const replica = (name: string) => new Replica(owner, path.join(folder, name), environment);
  const lab: Lab = {
    replicas: [replica('first'), replica('second')],
    guest: replica('guest'),
    kms: kmsIn(home),
    kmsIn,
    control,
    ...postgres,
    staleness: 0.7,
    oddKeys: new OddKeys(control, postgres.database),
    blackholeKms: kmsProxy.blackhole,
  };
  await lab.replicas[0].start();
  await lab.replicas[1].start();
  return lab;
}

function raise(message: string): never {
  throw new Error(message);
}

async function migrate(owner: Owner, databaseUrl: string): Promise<void> {
  const { ended, stderr } = run(owner, 'src/migrate.ts', { DATABASE_URL: databaseUrl });
  const { code } = await ended;
  if (code !== 0) throw new Error(`The migrations are not applied: ${stderr()}`);
}

/** PostgreSQL behind a proxy, so that it is found at the same place after it was killed. */
async function startPostgres(owner: Owner, folder: string) {
  let postgres: EmbeddedPostgres = await startEmbeddedPostgres(folder, settings);
  owner.teardown(() => postgres.stop());
  const target = new URL(postgres.connectionString);
  const proxy = await startProxy(owner, target);
  const [cluster, copy] = [path.join(folder, 'postgres'), path.join(folder, 'copy')];
  let client: Client | null = null;
  owner.teardown(() => client?.end().catch(() => {}));
  return {
    proxyUrl: proxy.url,
    blackholePostgres: proxy.blackhole,
    database: async () => {
      if (client !== null) return client;
      const fresh = new Client({ connectionString: postgres.connectionString });
      fresh.on('error', () => {
        if (client === fresh) client = null;
      });
      await fresh.connect();
      client = fresh;
      return fresh;
    },
    killPostgres: async () => {
      client = null;
      const [pid] = (await readFile(path.join(cluster, 'postmaster.pid'), 'utf8')).split('\n');
      process.kill(Number(pid), 'SIGKILL');
      await postgres.stop();
    },
    copyPostgres: () => replaceFolder(cluster, copy),
    putCopyBack: () => replaceFolder(copy, cluster),
    startPostgres: async () => {
      postgres = await restarted(folder);
      target.port = new URL(postgres.connectionString).port;
    },
  };
}

/** A copy with all that belongs to a file, its owner too, without the trace of the server that was killed. */
async function replaceFolder(from: string, to: string): Promise<void> {
  await rm(to, { recursive: true, force: true });
  await promisify(execFile)('cp', ['-a', from, to]);
  await rm(path.join(to, 'postmaster.pid'), { force: true });
}

/** The children of a killed server need a moment to notice, and the next one can't start before. */
async function restarted(folder: string, triesLeft = 50): Promise<EmbeddedPostgres> {
  try {
    return await startEmbeddedPostgres(folder, settings);
  } catch (error) {
    if (triesLeft === 0) throw error;
    await delay(100);
    return restarted(folder, triesLeft - 1);
  }
}

async function startKmsProcess(owner: Owner, dataDir: string): Promise<string> {
  const process = run(owner, 'src/local/kms/main.ts', {}, ['--port', '0', '--data', dataDir]);
  const [url] = /http:\/\/[^\s,]+/.exec(await firstLine(process)) ?? [];
  if (url === undefined) throw new Error('The local KMS does not say where it is');
  process.ended.then(({ code, signal }) => {
    if (signal !== 'SIGKILL')
      globalThis.process.stderr.write(`The local KMS ended with ${code}: ${process.stderr()}\n`);
  });
  return url;
}

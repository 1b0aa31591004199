/** A database and a local KMS with a fleet of keys in both, for benchmarks of what happens to all of them. */
import path from 'node:path';
import { Client } from 'pg';
import { migrate } from '../src/database/migrate.ts';
import { Store } from '../src/local/kms/store.ts';
import { startEmbeddedPostgres } from '../src/local/postgres.ts';
import { type FleetKey, newRecordIds, recordKeys } from '../test/support/fleet.ts';
import { firstUrl, type Owner, run, temporaryFolder } from '../test/support/process.ts';
import { seedKeys } from './seed.ts';

export type Fleet = { connectionString: string; database: Client; kmsUrl: string; keys: FleetKey[] };

/** @param knobs options of the local KMS, which is a process of its own. */
export async function startFleet(owner: Owner, count: number, knobs: string[]): Promise<Fleet> {
  const folder = await temporaryFolder(owner);
  const { connectionString, stop } = await startEmbeddedPostgres(folder);
  owner.teardown(stop);
  await migrate(connectionString);
  const database = new Client({ connectionString });
  await database.connect();
  owner.teardown(() => database.end());
  const kmsFolder = path.join(folder, 'kms');
  const keys = seed(kmsFolder, count);
  const kms = run(owner, 'src/local/kms/main.ts', {}, ['--port', '0', '--data', kmsFolder, ...knobs]);
  const kmsUrl = await firstUrl(kms);
  await recordKeys(database, kmsUrl, keys);
  return { connectionString, database, kmsUrl, keys };
}

function seed(dataDir: string, count: number): FleetKey[] {
  const ids = newRecordIds(count);
  const store = new Store(dataDir);
  const keyIds = seedKeys(store, count, (index) => [['keyward:id', ids[index] ?? '']]);
  store.close();
  return ids.map((id, index) => ({ id, keyId: keyIds[index] ?? '' }));
}

/** Runs a benchmark, and takes down what it has put up. */
export async function runBenchmark(measure: (owner: Owner) => Promise<void>): Promise<void> {
  const releases: (() => unknown)[] = [];
  try {
    await measure({ teardown: (release) => releases.push(release) });
  } finally {
    for (const release of releases.reverse()) await release();
  }
}

export function print(line: string): void {
  process.stdout.write(`${line}\n`);
}

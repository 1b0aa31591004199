/** The database, for what is done on the host beside a service that runs or does not. */
import { dataFolder, readConfig } from './config.ts';
import { type Database, openDatabase } from './database/client.ts';
import { migrate } from './database/migrate.ts';
import { findRunningPostgres, startEmbeddedPostgres } from './local/postgres.ts';

/** Works on the database of DATABASE_URL, or on the embedded one. */
export async function withDatabase(work: (stored: { database: Database }) => Promise<void>): Promise<void> {
  const { connectionString, stop } = await findDatabase();
  const database = openDatabase(
    connectionString,
    () => {},
    async () => {},
  );
  try {
    await work({ database });
  } finally {
    await database.close();
    await stop();
  }
}

/** The embedded one of a service that runs, or started for this alone. */
async function findDatabase(): Promise<{ connectionString: string; stop(): Promise<void> }> {
  const config = readConfig({ ...process.env, NODE_ENV: 'development', AUTH_MODE: 'none' });
  const stop = async () => {};
  if (config.DATABASE_URL !== null) return { connectionString: config.DATABASE_URL, stop };
  const folder = dataFolder(config, 'postgres');
  const running = await findRunningPostgres(folder);
  if (running !== null) return { connectionString: running, stop };
  const started = await startEmbeddedPostgres(folder);
  await migrate(started.connectionString);
  return started;
}

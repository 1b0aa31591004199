/** Brings a database to the schema this version needs. */
import { Client } from 'pg';
import { lively, noticeLostClients } from './liveness.ts';
import { migrationList, noFilters, withSchemaEngine } from './schema-engine.ts';

/** Any constant will do; it only has to be the same in every replica. */
const migrationLockId = 7_318_402_619;

/**
 * Applies all pending migrations. Safe when several replicas start at once: they take turns under an advisory lock,
 * and those that come later find nothing left to do.
 * @returns the names of the migrations that were applied, oldest first.
 * @throws when the database can't be reached or a migration fails.
 */
export async function migrate(connectionString: string): Promise<string[]> {
  const lock = new Client({ ...lively, connectionString, application_name: 'keyward-migrate' });
  await lock.connect();
  try {
    await lock.query(noticeLostClients);
    await lock.query('SELECT pg_advisory_lock($1)', [migrationLockId]);
    // To load the engine takes longer than all the rest of a start on a database that lacks nothing.
    if ((await pendingOn(lock)).length === 0) return [];
    const { appliedMigrationNames } = await withSchemaEngine(connectionString, (engine) =>
      engine.applyMigrations({ migrationsList: migrationList(), filters: noFilters }),
    );
    return appliedMigrationNames;
  } finally {
    await lock.end();
  }
}

/**
 * The migrations that this version needs and the database lacks, oldest first.
 * @throws when the database can't be reached.
 */
export async function pendingMigrations(connectionString: string): Promise<string[]> {
  const client = new Client({ ...lively, connectionString, application_name: 'keyward-migrate' });
  await client.connect();
  try {
    return await pendingOn(client);
  } finally {
    await client.end();
  }
}

async function pendingOn(client: Client): Promise<string[]> {
  const { rows: tables } = await client.query("SELECT 1 WHERE to_regclass('_prisma_migrations') IS NOT NULL");
  const { rows } =
    tables.length === 0
      ? { rows: [] }
      : await client.query<{ migration_name: string }>(
          'SELECT migration_name FROM _prisma_migrations WHERE finished_at IS NOT NULL',
        );
  const applied = new Set(rows.map(({ migration_name }) => migration_name));
  return migrationList()
    .migrationDirectories.map(({ path }) => path)
    .filter((name) => !applied.has(name));
}

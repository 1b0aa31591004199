/** Applies pending migrations and ends: `npm run migrate`. */
import { ConfigError, readConfig } from './config.ts';
import { migrate } from './database/migrate.ts';

try {
  const { DATABASE_URL } = readConfig({ ...process.env, NODE_ENV: 'development' });
  if (DATABASE_URL === null) throw new ConfigError('DATABASE_URL: must be set; embedded Postgres migrates at start');
  const applied = await migrate(DATABASE_URL);
  process.stdout.write(applied.length === 0 ? 'Nothing to apply.\n' : `Applied ${applied.join(', ')}.\n`);
} catch (error) {
  process.stderr.write(`The migration failed: ${error instanceof Error ? error.message : error}\n`);
  process.exit(1);
}

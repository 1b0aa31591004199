/**
 * Writes the SQL of a new migration: the difference between the schema of the last commit and the one in the work
 * tree. (Prisma's engine can't read the system catalogue of PostgreSQL 18 through its adapter, so the migrations
 * themselves can't be the starting point.) Indexes of tables that are there already get a file of their own, and are built
 * beside the traffic.
 */
import { execFileSync } from 'node:child_process';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { startEmbeddedPostgres } from '../src/local/postgres.ts';
import { splitMigration } from './migration-files.ts';
import { noFilters, schemaFiles, withSchemaEngine } from './schema-engine.ts';

const name = process.argv[2];
if (name === undefined || !/^[a-z][a-z0-9_]*$/.test(name)) {
  process.stderr.write('Usage: npm run new-migration -- name_in_snake_case\n');
  process.exit(2);
}

function committedSchema() {
  try {
    const content = execFileSync('git', ['show', 'HEAD:prisma/schema.prisma'], { encoding: 'utf8', stdio: 'pipe' });
    return { tag: 'schemaDatamodel' as const, files: [{ path: 'schema.prisma', content }] };
  } catch {
    return { tag: 'empty' as const };
  }
}

const dataDir = await mkdtemp(path.join(os.tmpdir(), 'keyward-migration-'));
const postgres = await startEmbeddedPostgres(dataDir);
try {
  const { stdout } = await withSchemaEngine(postgres.connectionString, (engine) =>
    engine.diff({
      from: committedSchema(),
      to: { tag: 'schemaDatamodel', ...schemaFiles() },
      script: true,
      exitCode: null,
      filters: noFilters,
    }),
  );
  const stamp = new Date().toISOString().replaceAll(/\D/g, '').slice(0, 14);
  for (const { suffix, sql } of splitMigration(stdout ?? '')) {
    const folder = path.resolve(import.meta.dirname, `../prisma/migrations/${stamp}_${name}${suffix}`);
    await mkdir(folder, { recursive: true });
    await writeFile(path.join(folder, 'migration.sql'), sql);
    process.stdout.write(`${path.relative(process.cwd(), folder)}/migration.sql\n`);
  }
} finally {
  await postgres.stop();
  await rm(dataDir, { recursive: true, force: true });
}

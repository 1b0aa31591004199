/**
 * Generates the Prisma client. `prisma generate` insists on a schema-engine binary that it never runs, and would fetch
 * it from outside the npm registry: naming any executable in its place keeps the install to the registry.
 */
import { execFileSync } from 'node:child_process';
import { createRequire } from 'node:module';

const prisma = createRequire(import.meta.url).resolve('prisma/build/index.js');
execFileSync(process.execPath, [prisma, 'generate', '--no-hints'], {
  stdio: ['ignore', 'ignore', 'inherit'],
  env: { ...process.env, PRISMA_SCHEMA_ENGINE_BINARY: process.execPath, PRISMA_HIDE_UPDATE_MESSAGE: '1' },
});

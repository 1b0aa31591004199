/**
 * Generates the Prisma client, and the types of the HTTP API for the command line. `prisma generate` insists on a
 * schema-engine binary that it never runs, and would fetch it from outside the npm registry: naming any executable in its
 * place keeps the install to the registry.
 */
import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';

const { resolve } = createRequire(import.meta.url);
execFileSync(process.execPath, [resolve('prisma/build/index.js'), 'generate', '--no-hints'], {
  stdio: ['ignore', 'ignore', 'inherit'],
  env: { ...process.env, PRISMA_SCHEMA_ENGINE_BINARY: process.execPath, PRISMA_HIDE_UPDATE_MESSAGE: '1' },
});

/** Types are for the compiler alone: an install without development dependencies, as in an image, goes without. */
async function writeTypesOfApi(document: URL): Promise<void> {
  const generator = await import('openapi-typescript').catch(() => undefined);
  if (generator === undefined || !existsSync(document)) return;
  const { default: generate, astToString } = generator;
  const types = astToString(await generate(document, { silent: true }));
  await writeFile(new URL('../src/generated/openapi.ts', import.meta.url), types);
}

await writeTypesOfApi(new URL('../openapi.yaml', import.meta.url));

/**
 * Prisma's own migration engine, from its WebAssembly build: `prisma migrate` itself would download a binary from
 * outside the npm registry. It tells the SQL that a change of the schema needs.
 */
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import { PrismaPg } from '@prisma/adapter-pg';
import { bindMigrationAwareSqlAdapterFactory } from '@prisma/driver-adapter-utils';
import * as engineBindings from '@prisma/schema-engine-wasm/schema_engine_bg';
import { Pool } from 'pg';
import { lively } from '../src/database/liveness.ts';

const schemaFile = path.resolve(import.meta.dirname, '../prisma/schema.prisma');

export const noFilters = { externalTables: [], externalEnums: [] };

/** The Prisma schema, as the engine takes it. */
export function schemaFiles() {
  return { files: [{ path: schemaFile, content: readFileSync(schemaFile, 'utf8') }] };
}

let wasmIsReady = false;

function instantiateWasm(): void {
  if (wasmIsReady) return;
  const file = createRequire(import.meta.url).resolve('@prisma/schema-engine-wasm/schema_engine_bg');
  const module = new WebAssembly.Module(readFileSync(file.replace(/\.js$/, '.wasm')));
  const { exports } = new WebAssembly.Instance(module, { './schema_engine_bg.js': withTimersThatHoldNothing() });
  engineBindings.__wbg_set_wasm(exports);
  (exports['__wbindgen_start'] as () => void)();
  wasmIsReady = true;
}

/** The engine leaves the timer of its lock's time-out behind, which would keep a process that is done for 10 seconds. */
function withTimersThatHoldNothing(): Record<string, unknown> {
  const holdNothing =
    (call: (...values: unknown[]) => unknown) =>
    (...values: unknown[]) => {
      const timer = call(...values);
      if (timer instanceof Object && 'unref' in timer && typeof timer.unref === 'function') timer.unref();
      return timer;
    };
  const imports = Object.entries(engineBindings as Record<string, unknown>);
  return Object.fromEntries(
    imports.map(([name, value]) => {
      const isTimer = name.startsWith('__wbg_setTimeout') && typeof value === 'function';
      return [name, isTimer ? holdNothing(value as (...values: unknown[]) => unknown) : value];
    }),
  );
}

/**
 * Runs `use` with a schema engine on one database, and closes its connections.
 * @param connectionString PostgreSQL URL.
 * @throws when the database can't be reached.
 */
export async function withSchemaEngine<T>(
  connectionString: string,
  use: (engine: engineBindings.SchemaEngine) => Promise<T>,
): Promise<T> {
  instantiateWasm();
  const pool = new Pool({ ...lively, connectionString, application_name: 'keyward-new-migration' });
  try {
    const adapter = bindMigrationAwareSqlAdapterFactory(new PrismaPg(pool));
    return await use(await engineBindings.SchemaEngine.new({ datamodels: undefined }, () => {}, adapter));
  } finally {
    await pool.end();
  }
}

/** Runs tap with these arguments, and with one PostgreSQL for all test files. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import path from 'node:path';
import { stopWithNpm } from '../src/orphan.ts';
import { startPostgresForTests, templateVariable } from '../test/support/postgres.ts';

const tap = path.resolve(import.meta.dirname, '../node_modules/tap/dist/esm/run.mjs');
const postgres = await startPostgresForTests();
const runner = spawn(process.execPath, [tap, ...process.argv.slice(2)], {
  stdio: 'inherit',
  env: { ...process.env, [templateVariable]: postgres.connectionString },
});
const ended = once(runner, 'close');
// A Ctrl-C reaches the runner too; PostgreSQL has to outlast it.
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => runner.kill(signal));
stopWithNpm();
const [code] = await ended;
await postgres.stop();
process.exit(code ?? 1);

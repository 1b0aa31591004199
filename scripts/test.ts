/**
 * Runs tap with these arguments, and with one PostgreSQL for all test files. Without files all are run, several of
 * them in each process: to load the service and to start it for the first time costs more than most files.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { glob, mkdir, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { stopWithNpm } from '../src/orphan.ts';
import { startPostgresForTests, templateVariable } from '../test/support/postgres.ts';

const root = path.resolve(import.meta.dirname, '..');
const tap = path.join(root, 'node_modules/tap/dist/esm/run.mjs');

/** How many processes the files are dealt to; tap runs as many at once as its configuration says. */
const processes = 24;

/** Writes a file for each process that imports its share of the test files. @returns their paths. */
async function dealFiles(): Promise<string[]> {
  const folder = path.join(root, '.tap/shares');
  await rm(folder, { recursive: true, force: true });
  await mkdir(folder, { recursive: true });
  const files = (await Array.fromAsync(glob('test/**/*.test.ts', { cwd: root }))).sort();
  const shares = Array.from({ length: processes }, (_, share) =>
    files.filter((_, index) => index % processes === share),
  );
  return Promise.all(
    shares.map(async (share, index) => {
      const file = path.join(folder, `${String(index + 1).padStart(2, '0')}.test.ts`);
      await writeFile(file, share.map((name) => `import '../../${name}';\n`).join(''));
      return path.relative(root, file);
    }),
  );
}

const given = process.argv.slice(2);
const namesFiles = given.some((argument) => argument.endsWith('.ts'));
const args = namesFiles ? given : [...given, '--include=.tap/shares/*.test.ts', ...(await dealFiles())];
const postgres = await startPostgresForTests();
const runner = spawn(process.execPath, [tap, ...args], {
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

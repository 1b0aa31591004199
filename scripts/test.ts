/**
 * Runs tap with these arguments, and with one PostgreSQL for all test files. Without files all are run, many of them in
 * each process.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { glob, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { stopWithNpm } from '../src/orphan.ts';
import { quickestFolder, startPostgresForTests, templateVariable } from '../test/support/postgres.ts';
import { buildTap } from './build-tap.ts';

const root = path.resolve(import.meta.dirname, '..');
const tap = path.join(root, 'node_modules/tap/dist/esm/run.mjs');

/** How many processes share the files. Most of what a test does is to wait. */
const processes = 10;

/** Files that wait for half a minute or more, longest first. Those are begun before all others: none is left alone at the end. */
const slowest = [
  'quotas/creates',
  'process/crash',
  'drift/rendered-policies',
  'process/replace-crash',
  'process/database-away',
  'sync/unreadable-keys',
  'history/replace',
  'process/restored-backup',
  'process/start-stop',
  // Not slow: it measures the memory of a process, which should have done nothing else before.
  'process/idle-memory',
  'keys/replicas',
  'process/import-crash',
  'process/repeat-crash',
  'drift/settling',
  'history/rotation',
  'http/idempotency-crash',
  'providers/default-tags',
  'clients/typescript',
  'http/idempotency',
  'quotas/refresh',
  'imports/imports',
  'process/default-tags-crash',
].map((name) => path.join('test', `${name}.test.ts`));

/** @throws where a slow file is not there any more. */
function inOrder(names: string[]): string[] {
  const gone = slowest.find((name) => !names.includes(name));
  if (gone !== undefined) throw new Error(`There is no ${gone}`);
  return [...slowest, ...names.filter((name) => !slowest.includes(name)).sort()];
}

/** Writes a file for each process. @returns their paths. */
async function writeShares(): Promise<string[]> {
  const folder = path.join(root, '.tap/shares');
  await rm(folder, { recursive: true, force: true });
  await mkdir(folder, { recursive: true });
  const files = JSON.stringify(inOrder(await Array.fromAsync(glob('test/**/*.test.ts', { cwd: root }))));
  const share = `import { runShare } from '../../scripts/test-share.ts';\n\nawait runShare(import.meta.dirname, ${files});\n`;
  return Promise.all(
    Array.from({ length: processes }, async (_, index) => {
      const file = path.join(folder, `${index + 1}.test.ts`);
      await writeFile(file, share);
      return path.relative(root, file);
    }),
  );
}

await buildTap(tap);
const given = process.argv.slice(2);
const namesFiles = given.some((argument) => argument.endsWith('.ts'));
const ofAllFiles = [`--jobs=${processes}`, '--include=.tap/shares/*.test.ts'];
const args = namesFiles ? given : [...given, ...ofAllFiles, ...(await writeShares())];
const postgres = await startPostgresForTests();
const temporary = await mkdtemp(path.join(await quickestFolder(), 'keyward-test-files-'));
const runner = spawn(process.execPath, [tap, ...args], {
  stdio: 'inherit',
  env: { ...process.env, [templateVariable]: postgres.connectionString, TMPDIR: temporary },
});
const ended = once(runner, 'close');
// A Ctrl-C reaches the runner too; PostgreSQL has to outlast it.
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => runner.kill(signal));
stopWithNpm();
const [code] = await ended;
await postgres.stop();
await rm(temporary, { recursive: true, force: true, maxRetries: 5 });
process.exit(code ?? 1);

#!/usr/bin/env node
/**
 * Starts the command line on the Node that runs TypeScript: this one, where it is new enough, else the one of
 * node_modules. Plain JavaScript, for any Node may be asked to run it.
 */
import { spawn } from 'node:child_process';
import { createRequire } from 'node:module';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const main = new URL('../src/cli/main.ts', import.meta.url);
const [major = 0] = process.versions.node.split('.').map(Number);

if (major >= 24) {
  await import(main.href);
} else {
  const home = path.dirname(createRequire(import.meta.url).resolve('node/package.json'));
  const node = path.join(home, 'bin', process.platform === 'win32' ? 'node.exe' : 'node');
  const args = ['--disable-warning=ExperimentalWarning', fileURLToPath(main), ...process.argv.slice(2)];
  const child = spawn(node, args, { stdio: 'inherit' });
  // A Ctrl-C reaches the child by itself; this process has to outlast it, and to end as it does.
  process.on('SIGINT', () => {});
  for (const signal of ['SIGTERM', 'SIGHUP']) process.on(signal, () => child.kill(signal));
  child.on('error', (error) => {
    process.stderr.write(`keyward: Node 24 did not start (${error.message}). Run npm ci in the folder of Keyward.\n`);
    process.exitCode = 1;
  });
  child.on('close', (code) => {
    process.exitCode = code ?? 1;
  });
}

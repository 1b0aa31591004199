/** The process of the command line; bin/keyward.js starts it. */
import module from 'node:module';
import path from 'node:path';

/** As of a program that SIGPIPE ends. */
const closedPipe = 141;

const interrupt = new AbortController();
process.once('SIGINT', () => {
  interrupt.abort();
  // Whoever asks twice does not want to wait.
  process.once('SIGINT', () => process.exit(130));
});
for (const stream of [process.stdout, process.stderr]) {
  stream.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code !== 'EPIPE') throw error;
    process.exit(closedPipe);
  });
}

// Not every Node that a package may run on has it. Not in the folder for temporary files, which is Node's choice: what lies there others may have written.
module.enableCompileCache?.(path.resolve(import.meta.dirname, '../../node_modules/.cache/node-compile-cache'));
// What is imported above is compiled before.
const { run } = await import('./program.ts');
const { stdin, stdout, stderr, env } = process;
process.exitCode = await run(process.argv.slice(2), { stdin, stdout, stderr, env, interrupted: interrupt.signal });
// A terminal that was asked keeps a process alive.
stdin.unref?.();

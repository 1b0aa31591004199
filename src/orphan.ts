/**
 * npm runs a script through a shell, and passes a signal to that shell alone: it dies, and the program below it would stay, with
 * its database and its ports. `exec` in the script would help, where the shell knows it; Windows' does not.
 */
import path from 'node:path';

/** Milliseconds between two looks. */
const interval = 250;

/** A program that is run by an npm script of its own gets the signal too, as soon as the shell between them is gone. */
export function stopWithNpm(): void {
  const script = process.env['npm_lifecycle_script'] ?? '';
  const program = path.basename(process.argv[1] ?? '');
  // The variable reaches whatever a script starts, also what is meant to outlive it.
  if (program === '' || !script.includes(program)) return;
  const parent = process.ppid;
  const timer = setInterval(() => {
    if (process.ppid === parent) return;
    clearInterval(timer);
    process.kill(process.pid, 'SIGTERM');
  }, interval);
  timer.unref();
}

/**
 * Runs in one process the test files that no other process has taken yet, one after the other: to load the service and
 * to start it for the first time costs more than most files, and whoever is ready sooner takes more of them.
 */
import { mkdirSync } from 'node:fs';
import path from 'node:path';
import tap from 'tap';

const root = path.resolve(import.meta.dirname, '..');

/** @returns whether no other process was faster. */
function take(folder: string, index: number): boolean {
  try {
    mkdirSync(path.join(folder, `taken-${index}`));
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false;
    throw error;
  }
}

/**
 * @param folder for what the processes tell each other.
 * @param files by their paths from the root.
 */
export async function runShare(folder: string, files: readonly string[]): Promise<void> {
  for (const [index, file] of files.entries()) {
    if (!take(folder, index)) continue;
    await import(path.join(root, file));
    // Tests are run in the order in which they were made.
    await tap.test(`${file} is over`, async () => {
      tap.jobs = 1;
    });
  }
}

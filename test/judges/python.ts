/** Python programs that judge: each from a virtual environment that is made when first needed. */
import { execFileSync, spawn } from 'node:child_process';
import { existsSync, writeFileSync } from 'node:fs';
import path from 'node:path';

const cache = path.resolve(import.meta.dirname, '../../node_modules/.cache');

/**
 * Makes a virtual environment with these packages, if it is not there.
 * @returns the folder of its programs; null, with the reason printed, where there is no Python 3 with venv, or where the
 *   packages can't be had: what is judged by them is then not judged.
 */
export function pythonPrograms(name: string, packages: string[]): string | null {
  const folder = path.join(cache, `keyward-python-${name}`);
  const programs = path.join(folder, 'bin');
  const complete = path.join(folder, 'complete');
  if (existsSync(complete)) return programs;
  try {
    execFileSync('python3', ['-m', 'venv', folder], { stdio: 'inherit' });
    execFileSync(path.join(programs, 'pip'), ['install', '--quiet', ...packages], { stdio: 'inherit' });
    writeFileSync(complete, packages.join('\n'));
    return programs;
  } catch (error) {
    process.stdout.write(`Not judged: ${packages.join(', ')} can't be had here (${(error as Error).message})\n`);
    return null;
  }
}

/** Runs a Python program to its end, with its output on ours. @returns its exit code. */
export async function runPython(programs: string, program: string, args: string[]): Promise<number> {
  const child = spawn(path.join(programs, 'python'), [program, ...args], { stdio: 'inherit' });
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code) => resolve(code ?? 1));
  });
}

/** Python programs that judge: each from a virtual environment that is made when first needed. */
import { execFileSync, spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import path from 'node:path';

const folder = path.resolve(import.meta.dirname, '../../node_modules/.cache/keyward-python');
const packages = ['moto[server]==5.2.5', 'boto3==1.44.5'];

/** The folder of the environment's programs. @throws when there is no Python 3 with venv, or the packages can't be had. */
export function pythonPrograms(): string {
  const programs = path.join(folder, 'bin');
  if (!existsSync(path.join(programs, 'moto_server'))) {
    execFileSync('python3', ['-m', 'venv', folder], { stdio: 'inherit' });
    execFileSync(path.join(programs, 'pip'), ['install', '--quiet', ...packages], { stdio: 'inherit' });
  }
  return programs;
}

/** Runs a Python program to its end, with its output on ours. @returns its exit code. */
export async function runPython(program: string, args: string[]): Promise<number> {
  const child = spawn(path.join(pythonPrograms(), 'python'), [program, ...args], { stdio: 'inherit' });
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code) => resolve(code ?? 1));
  });
}

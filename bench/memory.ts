/** The memory that a process holds. */
import { execFileSync } from 'node:child_process';
import type { Run } from '../test/support/process.ts';

/** Resident set size in MB (10^6 bytes), as the operating system tells it. */
export function residentMegabytes({ child }: Pick<Run, 'child'>): number {
  const kibibytes = execFileSync('ps', ['-o', 'rss=', '-p', String(child.pid)], { encoding: 'utf8' });
  return Math.round((Number(kibibytes) * 1024) / 1e6);
}

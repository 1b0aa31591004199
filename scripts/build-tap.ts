/** Has tap built with the plugins of .taprc: as it comes out of the registry, it would compile TypeScript by itself. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';

const root = path.resolve(import.meta.dirname, '..');
/** Goes with node_modules, as the build does. */
const stamp = path.join(root, 'node_modules/.cache/tap-built');

/** Builds tap (seven seconds of CPU), unless that is done. @param tap the path of its runner. @throws when it fails. */
export async function buildTap(tap: string): Promise<void> {
  const wanted = await readFile(path.join(root, '.taprc'), 'utf8');
  if ((await readFile(stamp, 'utf8').catch(() => null)) === wanted) return;
  const build = spawn(process.execPath, [tap, 'build'], { cwd: root, stdio: ['ignore', 'ignore', 'inherit'] });
  const [code] = await once(build, 'close');
  if (code !== 0) throw new Error(`tap could not be built: it ended with ${code}`);
  await mkdir(path.dirname(stamp), { recursive: true });
  await writeFile(stamp, wanted);
}

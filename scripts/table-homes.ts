/** Fails when a table that has a home is written elsewhere: `npm run homes`, a part of `npm run check`. */
import { readdir, readFile } from 'node:fs/promises';
import path from 'node:path';
import { strayWrites } from './stray-writes.ts';

const root = path.resolve(import.meta.dirname, '..');
const files = (await readdir(path.join(root, 'src'), { recursive: true }))
  .map((name) => path.posix.join('src', name.split(path.sep).join('/')))
  .filter((name) => name.endsWith('.ts') && !name.startsWith('src/generated/'));
const found = await Promise.all(
  files.map(async (name) => strayWrites(name, await readFile(path.join(root, name), 'utf8'))),
);
const strays = found.flat();
for (const stray of strays) process.stderr.write(`${stray}\n`);
process.exit(strays.length === 0 ? 0 : 1);

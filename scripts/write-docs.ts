/** Writes the parts of the documentation that the code knows best: `npm run docs`. A test holds them to it. */
import { readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { withVariables } from './variable-table.ts';

const readme = path.resolve(import.meta.dirname, '../README.md');
await writeFile(readme, withVariables(await readFile(readme, 'utf8')));

/** Writes the parts of the documentation that the code knows best: `npm run docs`. A test holds them to it. */
import { readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { withEvents } from './event-table.ts';
import { openApiYaml } from './openapi.ts';
import { withActions } from './permission-list.ts';
import { withVariables } from './variable-table.ts';

const root = path.resolve(import.meta.dirname, '..');
for (const [name, write] of [
  ['README.md', withVariables],
  ['docs/events.md', withEvents],
  ['docs/iam/keyward-role.json', withActions],
] as const) {
  const page = path.join(root, name);
  await writeFile(page, write(await readFile(page, 'utf8')));
}
await writeFile(path.join(root, 'openapi.yaml'), await openApiYaml());

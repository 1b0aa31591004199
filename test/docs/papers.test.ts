import { readdir, readFile } from 'node:fs/promises';
import path from 'node:path';
import { test } from 'tap';
import { documented } from '../clients/documented.ts';
import { startService } from '../support/service.ts';

const root = path.resolve(import.meta.dirname, '../..');
const read = (page: string) => readFile(path.join(root, page), 'utf8');

test('ARCHITECTURE.md names every room of src/', async (t) => {
  const page = await read('ARCHITECTURE.md');
  const folders = async (folder: string) =>
    (await readdir(path.join(root, folder), { withFileTypes: true }))
      .filter((entry) => entry.isDirectory())
      .map(({ name }) => `${folder}/${name}`);
  const rooms = [...(await folders('src')), ...(await folders('src/services'))];
  t.ok(rooms.length > 10);
  t.same(
    rooms.filter((room) => !page.includes(`| \`${room}\` |`)),
    [],
  );
  const named = [...page.matchAll(/^\| `(src\/[\w/]+)` \|/gm)].map(([, room = '']) => room);
  t.same(
    named.filter((room) => !rooms.includes(room)),
    [],
    'and none that is not there',
  );
});

test('ARCHITECTURE.md has every invariant that the code cites', async (t) => {
  const page = await read('ARCHITECTURE.md');
  const cited = new Set<string>();
  for (const folder of ['src', 'test', 'chaos', 'docs', 'bench', 'scripts']) {
    for (const file of await readdir(path.join(root, folder), { recursive: true })) {
      if (!/\.(ts|md)$/.test(file) || file.startsWith('generated')) continue;
      for (const [name] of (await read(path.join(folder, file))).matchAll(/\bI\d{1,2}\b/g)) cited.add(name);
    }
  }
  t.ok(cited.size > 5);
  t.same(
    [...cited].filter((name) => !page.includes(`- **${name} `)),
    [],
  );
});

test('the statements of docs/debugging.md run, and find a key that was created, changed, replaced and rotated', async (t) => {
  const page = await read('docs/debugging.md');
  const statements = [...page.matchAll(/```sql\n([\s\S]*?);\n```/g)].map(([, statement = '']) => statement);
  t.ok(statements.length >= 8);
  const { call, services } = await startService(t);
  const { body: key } = await call('POST', '/v1/keys', {});
  await call('PATCH', `/v1/keys/${key.id}`, { description: 'changed' });
  await call('POST', `/v1/keys/${key.id}/replace`, { multi_region: true });
  await call('POST', `/v1/keys/${key.id}/rotate`);
  for (const statement of statements) {
    const isOfKey = statement.includes(":'id'");
    const { rows } = await services.database.pool.query(statement.replaceAll(":'id'", `'${key.id}'`));
    if (isOfKey) t.not(rows.length, 0, statement);
    else t.pass(statement);
  }
});

const clients = {
  'openapi-typescript and openapi-fetch': ['typescript/openapi-fetch.ts'],
  '@hey-api/openapi-ts': ['typescript/hey-api.ts'],
  'openapi-python-client': ['python/main.py'],
  'oapi-codegen': ['go/main.go', 'go/oapi-codegen.yaml'],
  'openapi-generator': ['java/src/Main.java', 'java/pom.xml'],
};

for (const [heading, files] of Object.entries(clients)) {
  test(`docs/clients.md shows of ${heading} what its program does`, async (t) => {
    const programs = await Promise.all(files.map((file) => read(`test/clients/${file}`)));
    const { blocks, commands } = await documented(heading);
    t.ok(blocks.length > 0 && commands.length > 0);
    const linesOf = (text: string) => text.split('\n').map((line) => line.trim());
    const inPrograms = programs.map((program) => `\n${linesOf(program).join('\n')}\n`);
    for (const paragraph of blocks.flatMap(({ text }) => text.split('\n\n'))) {
      const shown = `\n${linesOf(paragraph).join('\n')}\n`;
      t.ok(/^\n(import|from) /.test(shown) || inPrograms.some((program) => program.includes(shown)), paragraph);
    }
  });
}

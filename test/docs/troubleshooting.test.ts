import { readdir, readFile } from 'node:fs/promises';
import path from 'node:path';
import { test } from 'tap';

const root = path.resolve(import.meta.dirname, '../..');

/** The codes that Keyward itself gives, as the source names them. */
async function ownCodes(): Promise<Set<string>> {
  const codes = new Set<string>();
  for (const folder of ['src/kms', 'src/services']) {
    for (const file of await readdir(path.join(root, folder), { recursive: true })) {
      if (!file.endsWith('.ts')) continue;
      const source = await readFile(path.join(root, folder, file), 'utf8');
      const named = /(?:new KmsFailure\(\s*'\w+',|readonly name =|(?:const|export const) \w+ =)\s*'([A-Z][a-z]\w+)'/g;
      for (const [, code = ''] of source.matchAll(named)) codes.add(code);
    }
  }
  return codes;
}

test("each code of Keyward's own that status.error can show is explained", async (t) => {
  const page = await readFile(path.join(root, 'docs/troubleshooting.md'), 'utf8');
  const codes = await ownCodes();
  t.ok(codes.size > 12, 'the source names its codes as it used to');
  t.same(
    [...codes].filter((code) => !page.includes(`\`${code}\``)),
    [],
  );
});

/**
 * Packs the command line alone, without the service: `npm run pack:cli`. Node runs no TypeScript under node_modules, so that
 * a package has JavaScript in it, one file with all that it needs.
 */
import { execFileSync } from 'node:child_process';
import { readFile, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { build } from 'esbuild';

const root = path.resolve(import.meta.dirname, '..');
const folder = path.join(root, 'dist/cli');
const { version, license } = JSON.parse(await readFile(path.join(root, 'package.json'), 'utf8'));

await rm(folder, { recursive: true, force: true });
await build({
  entryPoints: [path.join(root, 'src/cli/main.ts')],
  outfile: path.join(folder, 'keyward.js'),
  bundle: true,
  platform: 'node',
  format: 'esm',
  target: 'node20',
  // What is bundled of CommonJS asks for Node's own modules with require.
  banner: {
    js: "#!/usr/bin/env node\nimport { createRequire } from 'node:module';\nconst require = createRequire(import.meta.url);",
  },
  legalComments: 'eof',
  logLevel: 'warning',
});
const manifest = {
  name: 'keyward',
  version,
  description: 'The command line of Keyward',
  license,
  type: 'module',
  bin: { keyward: 'keyward.js' },
  files: ['keyward.js'],
  engines: { node: '>=20.19' },
};
await writeFile(path.join(folder, 'package.json'), `${JSON.stringify(manifest, null, 2)}\n`);
execFileSync('npm', ['pack', '--silent', '--pack-destination', root], { cwd: folder, stdio: 'inherit' });

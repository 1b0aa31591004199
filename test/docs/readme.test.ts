import { execFile, spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { chmod, readdir, readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { promisify } from 'node:util';
import { test } from 'tap';
import { withVariables } from '../../scripts/variable-table.ts';
import { problemKinds } from '../../src/services/problems.ts';
import { readSession, realAnswer, shownAnswer } from '../support/console-session.ts';
import { startProcess, temporaryFolder } from '../support/process.ts';

const root = path.resolve(import.meta.dirname, '../..');
const readme = await readFile(path.join(root, 'README.md'), 'utf8');

/** A folder with a `curl` for machines that have none. */
async function folderWithCurl(folder: string): Promise<string> {
  const program = path.join(root, 'test/support/curl.ts');
  const file = path.join(folder, 'curl');
  await writeFile(file, `#!/bin/sh\nexec '${process.execPath}' '${program}' "$@"\n`);
  await chmod(file, 0o755);
  return folder;
}

for (const curl of ['of the machine', 'of our own, for machines without']) {
  test(`the session in README.md gives the answers it shows, with a curl ${curl}`, async (t) => {
    if (curl === 'of the machine' && spawnSync('curl', ['--version']).status !== 0) return t.comment('there is none');
    const folder = await temporaryFolder(t);
    const service = await startProcess(t, { DATA_DIR: path.join(folder, 'data') });
    const PATH = `${curl === 'of the machine' ? '' : `${await folderWithCurl(folder)}:`}${process.env['PATH']}`;
    const session = readSession(readme);
    t.ok(session.length >= 9);
    // One shell runs them all, as a reader's does, so that variables go on from one to the next.
    const divider = 'the end of one answer';
    const script = session.map(({ command }) => `${command}\nprintf '\\n${divider}\\n'`).join('\n');
    const here = script
      .replaceAll('http://127.0.0.1:3000', service.url)
      .replaceAll('http://127.0.0.1:3001', service.kmsUrl ?? '');
    const { stdout } = await promisify(execFile)('sh', ['-euc', here], { cwd: folder, env: { ...process.env, PATH } });
    const answers = stdout.split(`\n${divider}\n`);
    for (const [index, { command, answer }] of session.entries()) {
      if (answer === '') continue;
      t.match(
        realAnswer(answers[index] ?? ''),
        shownAnswer(answer.replaceAll('http://127.0.0.1:3000', service.url)),
        command,
      );
    }
  });
}

test('the table of variables in README.md is that of the code (npm run docs writes it)', async (t) => {
  t.equal(withVariables(readme), readme);
});

test('every page that a page of the documentation refers to is there', async (t) => {
  const pages = [
    'README.md',
    'ARCHITECTURE.md',
    'CONTRIBUTING.md',
    'CHANGELOG.md',
    ...(await readdir(path.join(root, 'docs'), { recursive: true })).map((name) => `docs/${name}`),
  ];
  for (const page of pages.filter((name) => name.endsWith('.md'))) {
    const text = await readFile(path.join(root, page), 'utf8');
    for (const [, target = ''] of text.matchAll(/\]\((?!https?:|#)([^)#]+)[^)]*\)/g)) {
      t.ok(existsSync(path.resolve(root, path.dirname(page), target)), `${page} refers to ${target}`);
    }
  }
});

test('every kind of problem has its page', async (t) => {
  const pages = await readdir(path.join(root, 'docs/problems'));
  t.same(
    pages.sort(),
    Object.keys(problemKinds)
      .map((kind) => `${kind}.md`)
      .sort(),
  );
});

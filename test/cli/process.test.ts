import { execFile, spawnSync } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import path from 'node:path';
import { promisify } from 'node:util';
import { test } from 'tap';
import { temporaryFolder } from '../support/process.ts';
import { startService } from '../support/service.ts';

const bin = path.resolve(import.meta.dirname, '../../bin/keyward.js');
const keyward = `'${process.execPath}' --disable-warning=ExperimentalWarning '${bin}'`;

type Ended = { code: number; stdout: string; stderr: string };

/** Runs a line of shell in which `keyward` is the program itself. */
async function shell(line: string, env: Record<string, string>, program = 'sh'): Promise<Ended> {
  const script = `keyward() { ${keyward} "$@"; }\n${line}`;
  const { PATH = '' } = process.env;
  try {
    const ended = await promisify(execFile)(program, ['-c', script], { env: { PATH, ...env } });
    return { code: 0, ...ended };
  } catch (error) {
    return error as Ended;
  }
}

test('the program itself', async (t) => {
  const { url, call } = await startService(t);
  const XDG_CONFIG_HOME = await temporaryFolder(t);
  const env = { KEYWARD_URL: url, XDG_CONFIG_HOME };
  for (let made = 0; made < 5; made += 1) await call('POST', '/v1/keys', { description: 'x'.repeat(8000) });

  t.test('prints lines of JSON into a pipe, and says nothing when the pipe closes', async (t) => {
    const { stdout, stderr } = await shell('keyward keys list | head -c 10', env);
    t.equal(stdout.length, 10);
    t.equal(stderr, '');
    const { code } = await shell('keyward keys get nothing', env);
    t.equal(code, 1, 'the exit code is that of the run');
  });

  for (const name of ['bash', 'zsh']) {
    t.test(`completes commands in ${name}`, async (t) => {
      const { stdout: script } = await shell(`keyward completion ${name}`, env);
      t.match(script, /keyward/);
      const { stdout } = await shell('keyward complete -- keys l; keyward complete -- keys create --descr', env);
      t.match(stdout, /^list\b/m);
      t.match(stdout, /--description/);
      if (spawnSync(name, ['--version']).status !== 0) return t.comment(`${name} is not on this machine`);
      const file = path.join(XDG_CONFIG_HOME, `completion.${name}`);
      await writeFile(file, script);
      t.same(spawnSync(name, ['-n', file], { encoding: 'utf8' }).stderr, '', 'the script is one');
    });
  }
});

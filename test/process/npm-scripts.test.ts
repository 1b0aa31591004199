import { spawn } from 'node:child_process';
import { once } from 'node:events';
import path from 'node:path';
import { test } from 'tap';
import { firstLine, type Run, temporaryFolder } from '../support/process.ts';
import { eventually } from '../support/service.ts';

const root = path.resolve(import.meta.dirname, '../..');

const answers = (url: string) =>
  fetch(url).then(
    () => true,
    () => false,
  );

for (const { script, args, count } of [
  { script: 'start', args: [], count: 3 },
  { script: 'local-kms', args: ['--', '--port', '0'], count: 1 },
]) {
  test(`npm run ${script}: to end npm ends what it serves`, async (t) => {
    const DATA_DIR = await temporaryFolder(t);
    const data = script === 'local-kms' ? ['--data', path.join(DATA_DIR, 'kms')] : [];
    const child = spawn('npm', ['run', '-s', script, ...args, ...data], {
      cwd: root,
      env: { ...process.env, DATA_DIR, PORT: '0', LOCAL_KMS_PORT: '0', LOG_LEVEL: 'warn' },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    t.teardown(() => child.kill('SIGKILL'));
    let printed = '';
    child.stdout.on('data', (chunk: Buffer) => {
      printed += chunk.toString();
    });
    const ended = once(child, 'close').then(([code, signal]) => ({ code, signal }));
    const run: Run = { child, stdout: () => printed, stderr: () => '', ended };
    const urls = (await firstLine(run)).match(/http:\/\/[^\s;,]+/g) ?? [];
    t.equal(urls.length, count);
    for (const url of urls) t.ok(await answers(url));
    child.kill('SIGTERM');
    for (const url of urls) await eventually(`${url} is free`, async () => !(await answers(url)));
    // Its output is open for as long as any process below it lives, PostgreSQL among them.
    await ended;
  });
}

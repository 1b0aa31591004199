import path from 'node:path';
import { CreateKeyCommand, ListKeysCommand } from '@aws-sdk/client-kms';
import { test } from 'tap';
import { describe, refuses } from '../support/local-kms.ts';
import { firstLine, run, temporaryFolder } from '../support/process.ts';
import { kmsClient } from '../support/service.ts';

const program = 'src/local/kms/main.ts';

test('alone: state survives kill -9 in the middle of writes', async (t) => {
  const folder = await temporaryFolder(t);
  const start = async () => {
    const kms = run(t, program, {}, ['--port', '0', '--data', path.join(folder, 'keys')]);
    const line = await firstLine(kms);
    t.match(line, /For laptops and tests only/, 'and it says what it is for');
    return { kms, client: kmsClient(/http:\S+?(?=,)/.exec(line)?.[0] ?? '') };
  };
  const first = await start();
  const acknowledged: string[] = [];
  const creates = Array.from({ length: 300 }, async (_, index) => {
    const { KeyMetadata } = await first.client.send(new CreateKeyCommand({ Description: `key ${index}` }));
    acknowledged.push(KeyMetadata?.KeyId ?? '');
    if (acknowledged.length === 100) first.kms.child.kill('SIGKILL');
  });
  await Promise.allSettled(creates);
  await first.kms.ended;
  t.ok(acknowledged.length >= 100);
  const second = await start();
  const { Keys = [] } = await second.client.send(new ListKeysCommand({ Limit: 1000 }));
  const there = new Set(Keys.map(({ KeyId }) => KeyId));
  t.ok(
    acknowledged.every((id) => there.has(id)),
    'all that was answered is there',
  );
  t.match((await describe(second.client, acknowledged[0] ?? '')).Description, /^key \d+$/);
  second.kms.child.kill('SIGTERM');
  t.same(await second.kms.ended, { code: 0, signal: null });
  for (const { client } of [first, second]) client.destroy();
});

test('alone: settings at start, and arguments that are not understood', async (t) => {
  const folder = await temporaryFolder(t);
  const kms = run(t, program, {}, [
    '--port',
    '0',
    '--data',
    folder,
    '--quotas',
    '--latency',
    '1',
    '--stale-reads',
    '60',
  ]);
  const url = /http:\S+?(?=,)/.exec(await firstLine(kms))?.[0] ?? '';
  const settings = await (await fetch(`${url}/_local/settings`)).json();
  t.match(settings, { latency_milliseconds: 1, quotas: true, stale_reads_seconds: 60 });
  for (const args of [
    ['--port', 'x'],
    ['--port', '70000'],
    ['--latency', '-1'],
    ['--colour', 'red'],
  ]) {
    const wrong = run(t, program, {}, args);
    t.equal((await wrong.ended).code, 2, args.join(' '));
    t.match(wrong.stderr(), /Usage: npm run local-kms/);
  }
  const client = kmsClient(url);
  const { KeyMetadata } = await client.send(new CreateKeyCommand({}));
  await refuses(t, describe(client, KeyMetadata?.KeyId ?? ''), 'NotFoundException');
  client.destroy();
});

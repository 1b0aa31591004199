import { randomUUID } from 'node:crypto';
import { readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { CreateKeyCommand, ScheduleKeyDeletionCommand } from '@aws-sdk/client-kms';
import { test } from 'tap';
import { parseAllDocuments } from 'yaml';
import type { Key } from '../../src/schemas/key.ts';
import { keyward, plain, type Surroundings } from '../support/cli.ts';
import { temporaryFolder } from '../support/process.ts';
import { eventually, startService } from '../support/service.ts';

test('declarations in files', async (t) => {
  const { url, call, control } = await startService(t);
  const folder = await temporaryFolder(t);
  const env = { KEYWARD_URL: url, XDG_CONFIG_HOME: folder };
  const at = (args: string[], around: Surroundings = {}) => keyward(args, { env, ...around });
  const inFile = async (name: string, content: string) => {
    const file = path.join(folder, name);
    await writeFile(file, content);
    return file;
  };
  const awkward = `quotes "' ${'$'}{x} %{y}: - # ä\u{1F511} --- `;
  for (const body of [
    { description: awkward, tags: { team: 'a b', n: '1', t: 'true' } },
    { enable_key_rotation: true },
  ]) {
    await call('POST', '/v1/keys', body);
  }

  t.test('what is exported is applied without a change, as YAML and as lines', async (t) => {
    const yaml = await at(['export']);
    t.equal(yaml.code, 0);
    const documents = parseAllDocuments(yaml.stdout).map((document) => document.toJS());
    t.match(documents[0], { description: awkward, tags: { n: '1', t: 'true' } });
    const files = [
      await inFile('keys.yaml', yaml.stdout),
      await inFile('keys.ndjson', (await at(['export', '--json'])).stdout),
    ];
    for (const file of files) {
      await control.clear();
      const planned = await at(['apply', '-f', file, '--plan']);
      t.equal(planned.code, 0, planned.stderr);
      t.match(planned.json(), [{ outcome: 'unchanged' }, { outcome: 'unchanged' }]);
      const applied = await at(['apply', '-f', file, '--yes']);
      t.equal(applied.code, 0, applied.stderr);
      t.match(applied.stderr, 'Nothing to do: 2 unchanged.');
      t.same(await control.calls(), []);
    }
    t.match(yaml.stderr, '2 keys.');
  });

  t.test('a plan is shown as a diff, and ends with 2; applied, and planned again, it ends with 0', async (t) => {
    const exported = (await at(['export'])).stdout;
    const id = randomUUID();
    const changed = exported.replace('n: "1"', 'n: "2"').replace('team: a b', 'env: prod');
    const file = await inFile('changed.yaml', `${changed}---\nid: ${id}\ndescription: a new one\n---\n`);
    const planned = await at(['apply', '-f', file, '--plan'], { columns: 80 });
    t.equal(planned.code, 2, planned.stderr);
    const text = plain(planned.stdout);
    t.match(text, /~ update [\s\S]*\+ tags\.env: prod\n +~ tags\.n: 1 → 2\n +- tags\.team: a b\n +in KMS: /);
    t.ok(text.includes(`+ create ${id} "a new one"\n`));
    t.match(text, /\n1 to update, 1 unchanged, 1 to create\n$/);
    const unasked = await at(['apply', '-f', file]);
    t.equal(unasked.code, 64, 'nobody is there to say yes');
    t.equal((await call('GET', `/v1/keys/${id}`)).status, 404);
    const applied = await at(['apply', '-f', '-', '--yes'], { stdin: await readFile(file, 'utf8') });
    t.equal(applied.code, 0, applied.stderr);
    t.match(applied.json(), [
      { outcome: 'updated', state: 'in_sync' },
      { id, outcome: 'created', state: 'in_sync' },
    ]);
    t.match(applied.stderr, '1 updated, 1 created.');
    t.match((await call('GET', `/v1/keys/${id}`)).body, { description: 'a new one' });
    t.equal((await at(['apply', '-f', file, '--plan'])).code, 0);
  });

  t.test('what is wrong in a file is told with its line, and nothing is changed', async (t) => {
    const id = randomUUID();
    const wrong = `id: ${randomUUID()}\ndescription: fine\n---\nid: ${id}\ntags:\n  'aws:x': y\ndeletion_window_in_days: 3\n`;
    const file = await inFile('wrong.yaml', wrong);
    const refused = await at(['apply', '-f', file, '--yes']);
    t.equal(refused.code, 1);
    t.ok(refused.stderr.includes(`  ${file}:7 deletion_window_in_days\n    It must be 7 or more.\n`), refused.stderr);
    for (const [content, message] of [
      ['description: no id\n', /:1: it has no id\. .*\nOne that nobody has yet, for a new key: id: [0-9a-f-]{36}\n/],
      ['id: [\n', /:\d: .*flow/i],
      ['- id: x\n', /:1: a key is an object/],
      ['{"id": "x"\n', /:\d: /],
      ['{"id": "x"}\n{"id": }\n', /:2: it is no JSON/],
      ['', /There is no key in /],
    ] as const) {
      const { code, stderr } = await at(['apply', '-f', await inFile('broken.yaml', content), '--yes']);
      t.equal(code, 64, JSON.stringify(content));
      t.match(stderr, message);
    }
    const { body } = await call<{ items: Key[] }>('GET', '/v1/keys?q=fine');
    t.same(body.items, []);
    const fixed = (await at(['export'])).stdout.replace('multi_region: false', 'multi_region: true');
    const replaced = await at(['apply', '-f', await inFile('fixed.yaml', fixed), '--yes'], { columns: 80 });
    t.equal(replaced.code, 1);
    t.match(replaced.stderr + replaced.stdout, /multi_region/, 'what only a new key can have');
  });

  t.test('keys are let go of by the file that brings them back', async (t) => {
    const { stdout } = await at(['export']);
    const file = await inFile('all.yaml', stdout);
    const { items } = (await call<{ items: Key[] }>('GET', '/v1/keys')).body;
    const released = await at(['keys', 'release', '-f', file, '--yes'], { columns: 80 });
    t.equal(released.code, 0, released.stderr);
    t.match(plain(released.stderr), `${items.length} released.`);
    t.same((await call<{ items: Key[] }>('GET', '/v1/keys')).body.items, []);
    const back = await at(['apply', '-f', file, '--yes']);
    t.equal(back.code, 0, back.stderr);
    t.match(back.stderr, `${items.length} imported.`);
    const sorted = (text: string) => text.split('---\n').sort();
    t.same(sorted((await at(['export'])).stdout), sorted(stdout));
    const missing = await at(['keys', 'release', randomUUID(), '--yes'], { columns: 80 });
    t.equal(missing.code, 1);
    t.match(plain(missing.stderr), /There is no key with the id [\s\S]*0 released, 1 failed/);
  });
});

test('imports', async (t) => {
  const { url, kms } = await startService(t);
  const folder = await temporaryFolder(t);
  const env = { KEYWARD_URL: url, XDG_CONFIG_HOME: folder };
  const at = (args: string[], around: Surroundings = {}) => keyward(args, { env, ...around });
  const made = await Promise.all(
    ['a', 'b', 'c'].map(async (team) => {
      const Tags = [{ TagKey: 'team', TagValue: team }];
      return (await kms.send(new CreateKeyCommand({ Description: team, Tags }))).KeyMetadata?.KeyId ?? '';
    }),
  );
  type Item = { source: string; outcome: string; reason: { code: string } | null };

  t.test('a dry run tells and takes nothing; by tag, by name and all take each key once', async (t) => {
    const dry = await at(['import', '--all', '--dry-run']);
    t.equal(dry.code, 0, dry.stderr);
    t.same(
      dry.json<Item>().map(({ outcome }) => outcome),
      ['imported', 'imported', 'imported'],
    );
    t.match(dry.stderr, /Import [0-9a-f-]{36}: 3 would be imported, /);
    t.same((await at(['keys', 'list'])).json(), []);
    t.match((await at(['import', '--all', '--tag', 'team=b'])).stderr, ': 1 imported, ');
    const named = await at(['import', made[0] ?? '', made[1] ?? '', 'alias/nobody'], { columns: 80 });
    t.equal(named.code, 1, 'one failed');
    t.match(plain(named.stdout), /alias\/nobody +failed +KMS has no/);
    t.match(plain(named.stderr).replaceAll('\n', ' '), /1 imported, 1 managed already, 0 skipped, 1 failed\./);
    t.match((await at(['import', '--all'])).stderr, ': 1 imported, 2 managed already, ');
  });

  t.test('Ctrl-C and --detach leave it going, and say how to watch it', async (t) => {
    const detached = await at(['import', '--all', '--detach']);
    t.equal(detached.code, 0);
    const [{ id } = { id: '' }] = detached.json<{ id: string }>();
    t.match(detached.stderr, `keyward imports watch ${id}`);
    const watched = await at(['imports', 'watch', id]);
    t.equal(watched.code, 0);
    t.same(
      watched.json<Item>().map(({ outcome }) => outcome),
      Array(3).fill('already_managed'),
    );
    const ctrlC = new AbortController();
    const running = at(['import', '--all'], { interrupted: ctrlC.signal });
    await eventually('it has begun', async () => (await at(['imports', 'list'])).json().length === 6);
    ctrlC.abort();
    const { code, stderr } = await running;
    if (code === 130) t.match(stderr, /keyward imports watch [0-9a-f-]{36}|may have begun/);
    else t.equal(code, 0, 'it was over before');
  });

  t.test('what can not be meant is not asked for', async (t) => {
    for (const args of [
      [],
      ['--all', 'x'],
      ['--state', 'x', '--all'],
      ['x', '--tag', 'a=b'],
      ['--state', '/no/such/file'],
    ]) {
      const { code, stderr } = await at(['import', ...args]);
      t.equal(code, 64, stderr);
    }
    const broken = await at(['import', '--state', '-'], { stdin: '{"version": 3}' });
    t.equal(broken.code, 1);
    t.match(broken.stderr, /version/);
    const { id } = (await at(['imports', 'list'])).json<{ id: string }>()[0] ?? { id: '' };
    t.equal((await at(['imports', 'removed', id])).code, 1, 'it came out of no state');
  });

  t.test('80 columns have room for why a key was left', async (t) => {
    const { KeyMetadata } = await kms.send(new CreateKeyCommand({}));
    await kms.send(new ScheduleKeyDeletionCommand({ KeyId: KeyMetadata?.KeyId }));
    const { stdout } = await at(['import', '--all'], { columns: 80 });
    t.match(plain(stdout), / skipped +pending deletion: cancel the /);
  });
});

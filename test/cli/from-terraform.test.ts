/**
 * docs/from-terraform.md as somebody works through it: with as many keys as MOVED_KEYS says (.ci/terminal moves 300, as the page
 * does), else with fewer, for each costs processor time.
 */
import { execFile } from 'node:child_process';
import { chmod, mkdir, readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { promisify } from 'node:util';
import { CreateKeyCommand, UpdateKeyDescriptionCommand } from '@aws-sdk/client-kms';
import { test } from 'tap';
import { readSession } from '../support/console-session.ts';
import { temporaryFolder } from '../support/process.ts';
import { eventually, startService } from '../support/service.ts';
import { readHcl } from '../support/terraform.ts';

const root = path.resolve(import.meta.dirname, '../..');
const uuid = /[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}/g;
const total = Number(process.env['MOVED_KEYS'] ?? 30);

/** Keys on the page. */
const moved = /\b300\b/g;

/** What a page shows as what has to be there: `…` is anything, and nothing else differs but blanks. */
function pattern(shown: string): RegExp {
  const parts = shown.split('…').map((part) =>
    part
      .trim()
      .replaceAll(/[.*+?^${}()|[\]\\]/g, '\\$&')
      .replaceAll(/\s+/g, '\\s+'),
  );
  return new RegExp(`^\\s*${parts.join('[\\s\\S]*')}\\s*$`);
}

test('docs/from-terraform.md: every command of it, in their order', async (t) => {
  const { url, kms, control, call } = await startService(t);
  const folder = await temporaryFolder(t);
  const inFolder = (name: string) => path.join(folder, name);

  const keys = await Promise.all(
    Array.from({ length: total }, async (_, index) => {
      const Tags = [{ TagKey: 'team', TagValue: String(index % 10) }];
      const { KeyMetadata } = await kms.send(new CreateKeyCommand({ Description: `Keys of team ${index}`, Tags }));
      return { arn: KeyMetadata?.Arn ?? '', key_id: KeyMetadata?.KeyId ?? '' };
    }),
  );
  const instance = (index: number, key: object) => ({
    ...key,
    attributes: {
      ...keys[index],
      description: `Keys of team ${index}`,
      deletion_window_in_days: 14,
      tags: { team: String(index % 10) },
      tags_all: { team: String(index % 10) },
    },
  });
  const resource = (rest: object) => ({ mode: 'managed', type: 'aws_kms_key', ...rest });
  const half = total / 2;
  const range = (from: number, to: number) => Array.from({ length: to - from }, (_, index) => from + index);
  const state = {
    version: 4,
    resources: [
      resource({
        name: 'team',
        instances: range(0, half).map((index) => instance(index, { index_key: String(index) })),
      }),
      resource({ name: 'main', instances: [instance(half, {})] }),
      resource({
        name: 'this',
        module: 'module.data["a"].module.keys',
        instances: range(half + 1, total).map((at) => instance(at, { index_key: at - half })),
      }),
      resource({ mode: 'data', name: 'shared', instances: [instance(0, {})] }),
      {
        mode: 'managed',
        type: 'aws_s3_bucket',
        name: 'other',
        instances: [{ attributes: { arn: 'arn:aws:s3:::other' } }],
      },
    ],
  };
  await kms.send(new UpdateKeyDescriptionCommand({ KeyId: keys[7]?.key_id, Description: 'changed by hand' }));
  await writeFile(inFolder('state.json'), JSON.stringify(state));
  await control.clear();

  // The program itself, printing as on a terminal; Terraform is not to be had here, and only gives its state.
  const bin = path.join(root, 'bin/keyward.js');
  const programs = {
    keyward: `exec '${process.execPath}' --disable-warning=ExperimentalWarning '${bin}' "$@" --no-json`,
    terraform: `[ "$1 $2" != 'state pull' ] || cat '${inFolder('state.json')}'`,
  };
  await mkdir(inFolder('bin'));
  for (const [name, line] of Object.entries(programs)) {
    await writeFile(inFolder(`bin/${name}`), `#!/bin/sh\n${line}\n`);
    await chmod(inFolder(`bin/${name}`), 0o755);
  }
  const env = { PATH: `${inFolder('bin')}:${process.env['PATH']}`, KEYWARD_URL: url, XDG_CONFIG_HOME: folder };
  const run = async (command: string) => {
    const { stdout } = await promisify(execFile)('sh', ['-euc', `exec 2>&1; ${command}`], { cwd: folder, env });
    return stdout.replaceAll(/^keyward: \d+\/.*\n/gm, '');
  };

  const page = await readFile(path.join(root, 'docs/from-terraform.md'), 'utf8');
  const session = readSession(page.replaceAll(moved, String(total)));
  t.ok(session.length > 12);
  const real = new Map<string, string>();
  for (const { command, answer } of session) {
    const printed = await run(command.replaceAll(uuid, (id) => real.get(id) ?? id));
    const there = printed.match(uuid) ?? [];
    for (const [index, id] of (answer.match(uuid) ?? []).entries()) real.set(id, there[index] ?? id);
    const shown = answer.replaceAll(uuid, (id) => real.get(id) ?? id);
    t.match(printed, pattern(shown), command);
    if (command.startsWith('keyward imports removed')) {
      const text = await readFile(inFolder('removed.tf'), 'utf8');
      const { removed } = readHcl(text) as { removed?: object[] };
      const from = (name: string) => ({ from: `\${${name}}`, lifecycle: [{ destroy: false }] });
      t.same(removed, ['aws_kms_key.team', 'aws_kms_key.main', 'module.data.module.keys.aws_kms_key.this'].map(from));
    }
    if (command.startsWith('keyward drift')) {
      const { body } = await call<{ items: { deletion_window_in_days: number }[] }>('GET', '/v1/keys?limit=5');
      t.ok(
        body.items.every(({ deletion_window_in_days: days }) => days === 14),
        "what KMS does not tell is the state's",
      );
    }
  }
  const writes = await eventually('every key has its ownership tag again', async () => {
    const calls = await control.calls();
    const tagged = calls.filter(({ operation }) => operation === 'TagResource').length;
    return tagged >= 2 * total ? calls : undefined;
  });
  t.same([...new Set(writes.map(({ operation }) => operation))].sort(), ['TagResource', 'UntagResource']);
});

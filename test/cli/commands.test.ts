import { execFileSync } from 'node:child_process';
import { readFile, stat, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { CreateAliasCommand, CreateGrantCommand, CreateKeyCommand } from '@aws-sdk/client-kms';
import type { Command } from 'commander';
import { test } from 'tap';
import type { Context } from '../../src/cli/command.ts';
import { buildProgram } from '../../src/cli/program.ts';
import type { Key } from '../../src/schemas/key.ts';
import { adminToken, callerWith, withTokens } from '../support/access.ts';
import { keyward, plain, type Surroundings } from '../support/cli.ts';
import { temporaryFolder } from '../support/process.ts';
import { startService } from '../support/service.ts';

/** A text that would change the title of a terminal, colour it, and turn what follows around. */
const red = '\u001b[31m\u001b[1m';
const hostile = 'x \u001b]0;title\u0007 \u001b[31m \u009b2J \u202e end';

const leaves = (command: Command): Command[] =>
  command.commands.length === 0 ? [command] : command.commands.flatMap(leaves);

const nameOf = (command: Command): string =>
  command.parent === null ? command.name() : `${nameOf(command.parent)} ${command.name()}`;

/** The help of a command, as it is printed. */
function helpOf(command: Command): string {
  let printed = '';
  command.configureOutput({
    writeOut: (text) => {
      printed += text;
    },
  });
  command.outputHelp();
  return printed;
}

/** A command as a shell takes it apart: the arguments, and what standard input is. */
function takenApart(line: string, cwd: string): { args: string[]; stdin: string } {
  const script = `exec 3>&1\nkeyward() { printf '%s\\0' "$@" >&3; cat >&3; }\n${line}`;
  const parts = execFileSync('sh', ['-euc', script], { cwd, input: '', encoding: 'utf8' }).split('\0');
  return { args: parts.slice(0, -1), stdin: parts.at(-1) ?? '' };
}

test('the command line', async (t) => {
  const { url, control, kms } = await startService(t, withTokens);
  const call = callerWith(url, adminToken);
  const folder = await temporaryFolder(t);
  const env = { KEYWARD_URL: url, KEYWARD_TOKEN: adminToken, XDG_CONFIG_HOME: folder };
  const at = (args: string[], around: Surroundings = {}) => keyward(args, { env, ...around });
  const created = async (...args: string[]) => {
    const ran = await at(['keys', 'create', ...args]);
    t.equal(ran.code, 0, ran.stderr);
    return ran.json<Key>()[0] as Key;
  };

  t.test('each command says what it does, with an example that works', async (t) => {
    const key = await created('--description', 'of the examples');
    await at(['providers', 'create', 'eu', '--region', 'eu-west-1']);
    const [family, lone] = [await created('--multi-region'), await created('--multi-region')];
    const [replica] = (await at(['keys', 'replicate', family.id, '--provider', 'eu'])).json<Key>();
    t.match(replica, { replica_of: family.id, status: { state: 'in_sync' } });
    const ids: Record<string, string> = {
      'keyward keys replicate': lone.id,
      'keyward keys promote': replica?.id ?? '',
    };
    const granted = { GranteePrincipal: 'arn:aws:iam::111122223333:role/app', Operations: ['Decrypt' as const] };
    const grant = await kms.send(new CreateGrantCommand({ KeyId: key.key_id ?? '', ...granted }));
    await writeFile(path.join(folder, 'token.txt'), `${adminToken}\n`);
    const file = path.join(folder, 'keys.yaml');
    await created('--description', 'of the file', '--tag', 'of=file');
    await writeFile(file, (await at(['export', '--tag', 'of=file'])).stdout);
    const { KeyMetadata } = await kms.send(new CreateKeyCommand({ Description: 'by hand' }));
    await kms.send(new CreateAliasCommand({ AliasName: 'alias/payments', TargetKeyId: KeyMetadata?.KeyId }));
    const instances = [{ attributes: { arn: KeyMetadata?.Arn } }];
    const resources = [{ mode: 'managed', type: 'aws_kms_key', name: 'one', instances }];
    const state = path.join(folder, 'terraform.tfstate');
    await writeFile(state, JSON.stringify({ version: 4, resources }));
    t.equal((await at(['import', '--state', state])).code, 0);
    const [last] = (await at(['imports', 'list'])).json<{ id: string }>();
    const program = buildProgram({ io: process, session: undefined, exitCode: 0 } as unknown as Context);
    const commands = leaves(program).filter((command) => !nameOf(command).includes('complet'));
    t.ok(commands.length > 18);
    for (const command of commands) {
      const [, examples = ''] = helpOf(command).split(/\nExamples?:\n/);
      const lines = examples.split('\n').filter((line) => line.startsWith('  $ '));
      t.not(lines.length, 0, `${nameOf(command)} has an example`);
      for (const line of lines) {
        t.ok(line.startsWith(`  $ ${nameOf(command)}`), line);
        const here = line
          .slice(4)
          .replaceAll(
            '01980e6c-7a4b-7c1e-9f00-3b5e8d1c2a10',
            ids[nameOf(command)] ?? (nameOf(command).startsWith('keyward imports') ? (last?.id ?? '') : key.id),
          )
          .replace(/ [0-9a-f]{64}$/, ` ${grant.GrantId}`)
          .replace(/> \S+\.tf$/, '> /dev/null')
          .replace('terraform.tfstate', state)
          .replaceAll('https://keyward.example.com', url)
          .replace('> keys.yaml', '> /dev/null')
          .replace('keys.yaml', file);
        const { args, stdin } = takenApart(here, folder);
        const { code, stderr } = await at(args, { stdin });
        const isPlan = nameOf(command) === 'keyward keys plan' || args.includes('--plan');
        const isLate = nameOf(command) === 'keyward imports cancel' && stderr.includes('is over already');
        t.ok(isLate || (isPlan ? [1, 2].includes(code) : code === 0), `${line}: ${code} ${stderr}`);
      }
    }
  });

  t.test('a key is made, read, changed, deleted and restored', async (t) => {
    const policy = {
      Version: '2012-10-17',
      Statement: [{ Effect: 'Allow', Principal: '*', Action: 'kms:*', Resource: '*' }],
    };
    const file = path.join(folder, 'policy.json');
    await writeFile(file, JSON.stringify(policy));
    const key = await created(
      '--description',
      'Card data',
      '--tag',
      'team=payments',
      '--tag',
      'a:b=c=d',
      '--policy',
      `@${file}`,
    );
    t.match(key, { description: 'Card data', tags: { team: 'payments', 'a:b': 'c=d' }, policy });
    t.equal(key.status.state, 'in_sync');

    const changed = await at(['keys', 'update', key.id, '--untag', 'team', '--enable-key-rotation', '--no-is-enabled']);
    t.match(changed.json()[0], { tags: { 'a:b': 'c=d' }, enable_key_rotation: true, is_enabled: false });
    const back = await at(['keys', 'update', key.arn ?? '', '--unset', 'description', '--unset', 'is-enabled']);
    t.match(back.json()[0], { description: '', is_enabled: true });

    const listed = await at(['keys', 'list', '--tag', 'a:b=c=d']);
    t.same(
      listed.json<Key>().map(({ id }) => id),
      [key.id],
    );
    const revisions = await at(['keys', 'history', key.key_id ?? '']);
    t.same(
      revisions.json<{ generation: number }>().map(({ generation }) => generation),
      [3, 2, 1],
    );
    const writes = (await at(['keys', 'history', key.id, '--events'])).json<{ type: string }>();
    t.ok(writes.some(({ type }) => type === 'kms.write'));

    const unasked = await at(['keys', 'delete', key.id]);
    t.equal(unasked.code, 64);
    t.match(unasked.stderr, /--yes/);
    const deleted = await at(['keys', 'delete', key.id, '--yes', '--deletion-window-in-days', '7']);
    t.match(deleted.json()[0], { status: { state: 'pending_deletion' } });
    t.match((await at(['keys', 'restore', key.id])).json()[0], { status: { state: 'in_sync' } });
  });

  t.test('a plan ends with 0, 2 or 1: nothing, something, something that would be refused', async (t) => {
    const { id } = await created('--description', 'planned', '--tag', 'old=1');
    const nothing = await at(['keys', 'plan', id, '--description', 'planned'], { columns: 80 });
    t.equal(nothing.code, 0);
    t.match(nothing.stderr, 'Nothing to do.');
    const change = ['keys', 'plan', id, '--description', 'new words', '--tag', 'env=prod'];
    const something = await at(change, { columns: 80 });
    t.equal(something.code, 2);
    t.match(plain(something.stdout), /~ description: planned → new words\n +\+ tags\.env: prod\n +in KMS: /);
    t.match(something.stdout, '\u001b[33m~ description');
    t.match((await at(change)).json()[0], { changes: { description: { before: 'planned', after: 'new words' } } });
    const other = await at(['keys', 'plan', id, '--multi-region'], { columns: 80 });
    t.equal(other.code, 1);
    t.match(other.stdout, `${red}! `, 'what only a new key can have is red');
  });

  t.test('a table fits the terminal, cuts what is long, and shows what a terminal must not get', async (t) => {
    await created('--description', 'long '.repeat(60), '--tag', 'many=words');
    const { arn, id } = await created('--description', 'to be changed', '--drift-policy', 'report');
    await control.changeKey(arn, { description: hostile });
    await call('POST', `/v1/keys/${id}/refresh`);
    for (const columns of [80, 100, 200]) {
      for (const args of [
        ['keys', 'list'],
        ['drift'],
        ['keys', 'history', id],
        ['tokens', 'list'],
        ['providers', 'list'],
      ]) {
        const { stdout, code } = await at(args, { columns });
        t.equal(code, 0);
        const lines = plain(stdout).split('\n');
        t.ok(
          lines.every((line) => line.length <= columns),
          `${args.join(' ')} at ${columns}`,
        );
      }
    }
    t.match(plain((await at(['keys', 'list'], { columns: 80 })).stdout), /long long.*…\n/);
    const drift = await at(['drift', '--exit-code'], { columns: 200 });
    t.equal(drift.code, 2);
    t.match(plain(drift.stdout), /description +to be changed +x \\u001b\]0;title\\u0007/);
    const shown = await at(['keys', 'get', id], { columns: 80 });
    for (const stdout of [drift.stdout, shown.stdout, (await at(['drift'])).stdout]) {
      for (const raw of ['\u001b]', '\u0007', '\u009b', '\u202e']) t.notOk(stdout.includes(raw), JSON.stringify(raw));
    }
    const [difference] = (await at(['drift'])).json<{ observed: string }>();
    t.equal(difference?.observed, hostile, 'a program gets it as it is');
  });

  t.test('what is wrong is told at its field, with the id of the request', async (t) => {
    const args = ['keys', 'create', '--rotation-period-in-days', '5', '--deletion-window-in-days', '99'];
    const refused = await at(args, { columns: 80 });
    t.equal(refused.code, 1);
    t.match(plain(refused.stderr), /^Invalid input: /);
    t.match(plain(refused.stderr), /\n {2}rotation_period_in_days {2}.*90/);
    t.match(plain(refused.stderr), /\n {2}deletion_window_in_days {2}.*30/);
    t.match(plain(refused.stderr), /\nrequest [0-9a-f-]{36}\n$/);
    const problem = JSON.parse((await at([...args, '--json'])).stderr);
    t.match(problem, { status: 422, errors: [{ code: 'out_of_range' }, { code: 'out_of_range' }] });
  });

  t.test('a command that is not given as it has to be ends with 64, and says why', async (t) => {
    for (const [args, message] of [
      [['keys', 'lst'], /unknown command 'lst'/],
      [['keys', 'create', '--descripton', 'x'], /Did you mean --description/],
      [['keys', 'create', '--tag', 'x'], /A tag is written name=value/],
      [['keys', 'create', '--rotation-period-in-days', 'soon'], /It is no whole number/],
      [['keys', 'create', '--policy', '{"a'], /--policy is no JSON/],
      [['keys', 'create', '--policy', '@/no/such/file'], /can't be read/],
      [['keys', 'update', 'x'], /Nothing to change was given/],
      [['keys', 'update', 'x', '--unset', 'multi_region'], /It is one of description/],
      [['keys', 'get'], /missing required argument 'key'/],
      [['keys', 'list', '--limit', '0'], /1 or more/],
      [['providers', 'create', 'x'], /required option '--region/],
    ] as const) {
      const { code, stderr, stdout } = await at([...args]);
      t.equal(code, 64, args.join(' '));
      t.match(stderr, message);
      t.equal(stdout, '');
    }
    t.equal((await at(['--help'])).code, 0);
    t.equal((await at([])).code, 64);
  });

  t.test('a token is kept where nobody else reads it, goes to its own service alone, and is shown once', async (t) => {
    const home = await temporaryFolder(t);
    const atHome = (args: string[], more: Surroundings = {}) =>
      keyward(args, { env: { XDG_CONFIG_HOME: home }, ...more });
    const made = await at(['tokens', 'create', 'of-login', '--role', 'viewer'], { columns: 80 });
    const token = made.stdout.trim();
    t.match(token, /^kwd_/);
    t.equal((await atHome(['login', url], { stdin: `${token}\n` })).code, 0);
    const file = path.join(home, 'keyward/config.json');
    t.equal((await stat(file)).mode & 0o777, 0o600);
    t.equal((await stat(path.dirname(file))).mode & 0o777, 0o700);
    t.match(JSON.parse(await readFile(file, 'utf8')), { url, token });
    t.equal((await atHome(['keys', 'list'])).code, 0);
    t.match((await atHome(['keys', 'create'])).stderr, /^Forbidden: /, 'it is a viewer');
    for (const args of [
      ['tokens', 'list'],
      ['keys', 'history', 'x'],
      ['login', url],
    ]) {
      const { stdout, stderr } = await atHome(args, { stdin: token });
      t.notMatch(stdout + stderr, token);
    }
    // The same service by another name is another service, as far as anybody can tell.
    const elsewhere = { XDG_CONFIG_HOME: home, KEYWARD_URL: url.replace('127.0.0.1', 'localhost') };
    const unsigned = await keyward(['keys', 'list'], { env: elsewhere, columns: 80 });
    t.equal(unsigned.code, 1);
    t.match(plain(unsigned.stderr), /^Unauthenticated: [\s\S]*keyward login takes a token/);
    t.match((await at(['tokens', 'revoke', 'of-login'])).stderr, 'Revoked of-login.');
    t.match((await atHome(['keys', 'list'])).stderr, /^Unauthenticated: /);
    t.match(
      (await atHome(['login', url], { stdin: 'kwd_no_such_token_0123456789abcdefghijkl' })).stderr,
      /^Unauthenticated: /,
    );
    t.match(JSON.parse(await readFile(file, 'utf8')), { token }, 'a token that does not work is not kept');
    t.equal((await atHome(['logout'])).code, 0);
    t.equal((await atHome(['tokens', 'create', '--token', 'x'])).code, 64, 'no token is ever an argument');
  });
});

/** The command line on a real terminal of 80 columns. CAPTURES names a folder for what was on the screen. */
import { writeFile } from 'node:fs/promises';
import path from 'node:path';
import { CreateKeyCommand } from '@aws-sdk/client-kms';
import stringWidth from 'string-width';
import { test } from 'tap';
import { temporaryFolder } from '../support/process.ts';
import { startService } from '../support/service.ts';
import { openTerminal } from './tmux.ts';

const bin = path.resolve(import.meta.dirname, '../../bin/keyward.js');
const keyward = `'${process.execPath}' --disable-warning=ExperimentalWarning '${bin}'`;
const captures = process.env['CAPTURES'];

const keep = async (name: string, shown: string) => {
  if (captures !== undefined) await writeFile(path.join(captures, `${name}.txt`), `${shown}\n`);
};

test('on a terminal of 80 columns', async (t) => {
  const { url, call, control, kms } = await startService(t);
  const folder = await temporaryFolder(t);
  const terminal = await openTerminal(t, keyward, { KEYWARD_URL: url, XDG_CONFIG_HOME: folder });
  const make = async (body: object) => (await call('POST', '/v1/keys', body)).body;
  const fits = (shown: string) =>
    t.same(
      shown.split('\n').filter((line) => stringWidth(line) > 80),
      [],
    );

  await make({ description: 'Card data of the payments team, in all countries but two', tags: { team: 'payments' } });
  await make({ description: '日本語の説明 and 👩‍👩‍👧 a family, which take two columns each' });
  const key = await make({ description: 'Invoices', tags: { team: 'billing' }, drift_policy: 'report' });

  t.test('a table, with what is too long cut off', async (t) => {
    const { text, coloured } = await terminal.run('keyward keys list');
    await keep('table', coloured);
    t.match(text, /^ID +STATE +PROVIDER +DESCRIPTION$/m);
    t.match(text, /^[0-9a-f-]{36} {2}in_sync {2}default {3}Card data of the pay.*…$/m);
    t.match(text, /ended: 0$/m);
    fits(text);
  });

  t.test('a plan as a diff in colours, and a question that no answers', async (t) => {
    const file = path.join(folder, 'keys.yaml');
    const declared = { id: key.id, description: 'Invoices and more', multi_region: true };
    await writeFile(file, `id: ${key.id}\ndescription: Invoices, all of them\ntags:\n  env: prod\n`);
    await terminal.begin(`keyward apply -f ${file}`);
    const asked = await terminal.shows(/Apply this\?/);
    await keep('diff', await terminal.screen('-e'));
    t.match(asked, /~ description: Invoices → Invoices, all of them\n +\+ tags\.env: prod\n +- tags\.team: billing\n/);
    const coloured = await terminal.screen('-e');
    for (const [colour, line] of [
      ['33', '~ description'],
      ['32', '+ tags.env'],
      ['31', '- tags.team'],
    ]) {
      t.ok(coloured.includes(`\u001b[${colour}m${line}`), `${line} has its colour`);
    }
    fits(asked);
    await terminal.type('n', 'Enter');
    t.match(await terminal.shows(/^ended: \d+$/m), /Nothing was changed\.\nended: 1$/m);
    await writeFile(file, JSON.stringify(declared));
    const replaced = await terminal.run(`keyward apply -f ${file}`);
    await keep('replacement', replaced.coloured);
    t.match(replaced.text, /multi_region[\s\S]*ended: 1/);
  });

  t.test('an error at its field', async (t) => {
    const { text, coloured } = await terminal.run(`keyward keys update ${key.id} --rotation-period-in-days 3`);
    await keep('error', coloured);
    t.match(
      text,
      /Invalid input: .*\n {2}rotation_period_in_days {2}It must be 90 or more\.\nrequest [0-9a-f-]{36}\nended: 1/,
    );
    t.ok(coloured.includes('\u001b[31m'), 'its title is red');
  });

  t.test('a spinner while KMS is slow, and Ctrl-C', async (t) => {
    await control.fault({ kind: 'throttle', operation: 'UpdateKeyDescription', times: null });
    await terminal.begin(`keyward keys update ${key.id} --description slow`);
    await terminal.shows('Asking the service');
    await terminal.type('C-c');
    const shown = await terminal.shows(/^ended: \d+$/m);
    await keep('interrupted', shown);
    t.match(shown.replaceAll('\n', ' '), /Interrupted\. It may have been recorded all the same: keyward keys history/);
    t.match(shown, /ended: 130/);
    await control.clearFaults();
  });

  t.test('the description of a key that is to be deleted has to be typed', async (t) => {
    const doomed = await make({ description: 'Doomed' });
    await terminal.begin(`keyward keys delete ${doomed.id}`);
    await terminal.shows('type its description');
    await terminal.type('Doomed', 'Enter');
    t.match(await terminal.shows(/^ended: \d+$/m), /pending_deletion[\s\S]*ended: 0/);
    await keep('deletion', await terminal.screen('-e'));
  });

  t.test('a bar while keys are imported, and Ctrl-C, which leaves the import going', async (t) => {
    for (let made = 0; made < 60; made += 1) await kms.send(new CreateKeyCommand({ Description: `by hand ${made}` }));
    const { KeyMetadata: last } = await kms.send(new CreateKeyCommand({ Description: 'by hand, told late' }));
    // The import must not be over before it is interrupted.
    await control.fault({ operation: 'DescribeKey', key_id: last?.KeyId, kind: 'throttle', times: null });
    await terminal.begin('keyward import --all');
    const bar = await terminal.shows(/█.*\d+\/\d+ /);
    await keep('import', await terminal.screen('-e'));
    fits(bar);
    await terminal.type('C-c');
    const shown = await terminal.shows(/^ended: \d+$/m);
    await keep('import-interrupted', shown);
    t.match(shown.replaceAll('\n', ' '), /Interrupted\. The import goes on by itself\. keyward imports watch/);
    const [, id = ''] = /imports watch\s+([0-9a-f-]{36})/.exec(shown) ?? [];
    await control.clearFaults();
    const { text, coloured } = await terminal.run(`keyward imports watch ${id}`);
    await keep('import-ended', coloured);
    t.match(text.replaceAll('\n', ' '), /61 imported, \d+ managed already, .* 0 failed\. ended: 0/);
    const listed = await terminal.run('keyward imports list');
    t.match(listed.text, /^[0-9a-f-]{36} {2}done +61\/65 /m);
    await keep('imports', listed.coloured);
    fits(listed.text);
  });

  t.test('a token is not shown while it is typed', async (t) => {
    await terminal.begin('keyward login');
    await terminal.shows('Token');
    await terminal.type('kwd_typed_secret', 'Enter');
    const shown = await terminal.shows(/^ended: \d+$/m);
    t.notMatch(shown, 'kwd_typed_secret');
    await keep('login', shown);
  });
});

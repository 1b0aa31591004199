/** A real terminal: tmux draws what a program prints, and tells what stands on the screen. */
import { execFile } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { promisify } from 'node:util';
import type { Owner } from '../support/process.ts';
import { eventually } from '../support/service.ts';

const run = promisify(execFile);

/** Opens a terminal in which `keyward` is the program of this clone. */
export async function openTerminal(t: Owner, keyward: string, env: Record<string, string>, columns = 80, rows = 40) {
  const server = `keyward-${randomUUID()}`;
  const tmux = async (...args: string[]) => (await run('tmux', ['-L', server, '-f', '/dev/null', ...args])).stdout;
  const variables = Object.entries(env).map(([name, value]) => `${name}='${value}'`);
  // LC_ALL: a terminal that knows no UTF-8 draws lines in place of letters.
  const shell = `env -u NO_COLOR -u FORCE_COLOR -u CI LC_ALL=C.UTF-8 PS1='ready> ' ${variables.join(' ')} sh -i`;
  await tmux('-u', 'new-session', '-d', '-x', String(columns), '-y', String(rows), shell);
  t.teardown(() => tmux('kill-server').then(() => undefined));
  const screen = async (...options: string[]) => (await tmux('-u', 'capture-pane', '-p', ...options)).trimEnd();
  const type = (...keys: string[]) => tmux('send-keys', ...keys);
  const shows = (what: string | RegExp) =>
    eventually(
      `the terminal shows ${what}`,
      async () => {
        const shown = await screen();
        return (typeof what === 'string' ? shown.includes(what) : what.test(shown)) ? shown : undefined;
      },
      60_000,
    );
  await shows('ready>');
  await type(`keyward() { ${keyward} "$@"; echo "ended: $?"; }`, 'Enter');
  return {
    screen,
    type,
    shows,
    /** Runs a command on an empty screen. */
    begin: async (command: string) => {
      await type('clear', 'Enter');
      await tmux('clear-history');
      await type(command, 'Enter');
    },
    /** The screen when a command has ended, with `colours` where they are asked for. */
    run: async (command: string) => {
      await type('clear', 'Enter');
      await type(command, 'Enter');
      await shows(/^ended: \d+$/m);
      return { text: await screen(), coloured: await screen('-e') };
    },
  };
}

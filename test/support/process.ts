/** Services as processes of their own, so that they can be stopped and killed. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer, connect as openSocket, type Socket } from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { startLocalKms } from '../../src/local/kms/index.ts';
import { newDatabase, type Owner } from './postgres.ts';
import { type Call, caller, onAnyMachine } from './service.ts';

export type { Owner } from './postgres.ts';

const root = path.resolve(import.meta.dirname, '../..');

/**
 * Those that the starting process has: a test is short-lived (.taprc says what that asks for), a measured service is not. What
 * a test loads first is its own.
 */
const nodeOptions = process.execArgv.filter((option) => !/^--(import|enable-source-maps)/.test(option));

/** What Node compiled once serves all processes: a third of what it costs to start one. */
const compileCache = { NODE_COMPILE_CACHE: path.join(root, '.tap/compile-cache') };

/** For who waits for a write that was cut off, and for the lease of its key: the shorter, the sooner the test is over. */
export const soonTakenOver = { WRITE_DEADLINE_SECONDS: '9', SETTLE_SECONDS: '1', LEASE_SECONDS: '5' };

export type Exit = { code: number | null; signal: NodeJS.Signals | null };

/** What a process printed, and how it ended. */
export type Run = { child: ChildProcess; stdout: () => string; stderr: () => string; ended: Promise<Exit> };

/** Runs a program of the project with these variables and no others of its own, and this text on its standard input. */
export function run(
  t: Owner,
  program: string,
  environment: Record<string, string>,
  args: string[] = [],
  input?: string,
): Run {
  const { PATH = '', HOME = '', TMPDIR } = process.env;
  const child = spawn(process.execPath, [...nodeOptions, path.join(root, program), ...args], {
    env: {
      PATH,
      HOME,
      ...(TMPDIR === undefined ? {} : { TMPDIR }),
      ...compileCache,
      ...onAnyMachine,
      ...environment,
    },
    stdio: ['pipe', 'pipe', 'pipe'],
  });
  child.stdin.end(input);
  const output = { stdout: '', stderr: '' };
  for (const stream of ['stdout', 'stderr'] as const) {
    child[stream].on('data', (chunk: Buffer) => {
      output[stream] += chunk.toString();
    });
  }
  const ended = once(child, 'close').then(([code, signal]): Exit => ({ code, signal }));
  t.teardown(() => child.kill('SIGKILL'));
  return { child, stdout: () => output.stdout, stderr: () => output.stderr, ended };
}

export type Service = Run & { url: string; kmsUrl: string | null; call: Call };

/** Starts a service, and waits for the line that says where it is. */
export async function startProcess(t: Owner, environment: Record<string, string>): Promise<Service> {
  const service = run(t, 'src/server.ts', { PORT: '0', LOCAL_KMS_PORT: '0', LOG_LEVEL: 'warn', ...environment });
  const line = await firstLine(service);
  const [url, , kmsUrl = null] = line.match(/http:\/\/[^\s;]+/g) ?? [];
  if (url === undefined) throw new Error(`No URL in ${JSON.stringify(line)}`);
  return { ...service, url, kmsUrl, call: caller(url) };
}

/** What a process prints first. @throws when it ends before that. */
export async function firstLine({ child, ended, stdout, stderr }: Run): Promise<string> {
  const printed = (async () => {
    while (!stdout().includes('\n')) await once(child.stdout as NodeJS.ReadableStream, 'data');
    return stdout();
  })();
  const died = ended.then(({ code }) => {
    throw new Error(`The process ended with ${code}: ${stderr()}`);
  });
  return Promise.race([printed, died]);
}

/** The first URL in it. @throws when there is none. */
export async function firstUrl(process: Run): Promise<string> {
  const line = await firstLine(process);
  const [url] = /http:\/\/[^\s,;]+/.exec(line) ?? [];
  if (url === undefined) throw new Error(`No URL in ${JSON.stringify(line)}`);
  return url;
}

/** A folder that is removed when the test ends. */
export async function temporaryFolder(t: Owner): Promise<string> {
  const folder = await mkdtemp(path.join(os.tmpdir(), 'keyward-test-'));
  t.teardown(() => rm(folder, { recursive: true, force: true, maxRetries: 5 }));
  return folder;
}

/** A database (an empty one, or one that has all migrations) and a local KMS that outlive the services of a test. */
export async function startBackends(t: Owner, { empty = false } = {}) {
  const folder = await temporaryFolder(t);
  const databaseUrl = await newDatabase(t, { empty });
  const kms = await startLocalKms({ dataDir: path.join(folder, 'kms') });
  t.teardown(() => kms.close());
  return { databaseUrl, kmsUrl: kms.url };
}

/** A way to a server that can be cut and mended, and can lose connections without a word to either end. */
export async function startProxy(t: Owner, target: URL) {
  const sockets = new Set<Socket>();
  const lost = new WeakSet<Socket>();
  let isCut = false;
  const server = createServer((near) => {
    if (isCut) return void near.destroy();
    const far = openSocket(Number(target.port), target.hostname);
    for (const [socket, other] of [
      [near, far],
      [far, near],
    ] as const) {
      const end = () => !lost.has(other) && other.destroy();
      sockets.add(socket);
      socket.on('error', end);
      socket.on('close', () => {
        sockets.delete(socket);
        end();
      });
      socket.pipe(other);
    }
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const url = new URL(target);
  const address = server.address();
  url.port = String(typeof address === 'object' && address !== null ? address.port : '');
  const cut = () => {
    isCut = true;
    for (const socket of sockets) socket.destroy();
  };
  t.teardown(() => {
    cut();
    server.close();
  });
  return {
    url: url.href,
    cut,
    mend: () => {
      isCut = false;
    },
    /** From now on nothing comes through on the connections that there are, not even their end; new ones work. */
    blackhole: () => {
      for (const socket of sockets) {
        lost.add(socket);
        socket.unpipe();
        // What still comes is read and thrown away, as by a firewall that has forgotten the connection.
        socket.resume();
      }
    },
  };
}

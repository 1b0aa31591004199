/** KMS that were written by others, from PyPI: how each is started, and what it can't do. */
import { spawn } from 'node:child_process';
import { createServer } from 'node:net';
import path from 'node:path';
import type { Owner } from '../support/process.ts';
import { eventually } from '../support/service.ts';
import { ministackGaps } from './ministack-gaps.ts';
import { motoGaps } from './moto-gaps.ts';
import { pythonPrograms } from './python.ts';

type Emulator = {
  packages: string[];
  program: string;
  args(port: string): string[];
  environment(port: string): Record<string, string>;
  /** Answers once it is up. */
  healthPath: string;
  /** By the scenario that it fails, each with the reason. */
  gaps: Record<string, string>;
};

export const emulators: Record<string, Emulator> = {
  moto: {
    packages: ['moto[server]==5.2.5'],
    program: 'moto_server',
    args: (port) => ['-p', port],
    environment: () => ({}),
    healthPath: '/moto-api/data.json',
    gaps: motoGaps,
  },
  ministack: {
    // Without the second it takes CreateKey for asymmetric specs and answers them with an error.
    packages: ['ministack==1.5.33', 'cryptography==50.0.2'],
    program: 'ministack',
    args: () => [],
    environment: (port) => ({ GATEWAY_PORT: port, BIND_HOST: '127.0.0.1', SERVICES: 'kms,sts,tagging' }),
    healthPath: '/_localstack/health',
    gaps: ministackGaps,
  },
};

/** Starts an emulator; it is stopped with its owner. @returns its URL; null where it can't be had. */
export async function startEmulator(owner: Owner, name: string, emulator: Emulator): Promise<string | null> {
  const programs = pythonPrograms(name, emulator.packages);
  if (programs === null) return null;
  const port = String(await freePort());
  const { PATH = '', HOME = '' } = process.env;
  const environment = { PATH, HOME, ...emulator.environment(port) };
  const child = spawn(path.join(programs, emulator.program), emulator.args(port), {
    stdio: 'ignore',
    env: environment,
  });
  owner.teardown(() => child.kill('SIGKILL'));
  const url = `http://127.0.0.1:${port}`;
  await eventually(`${name} answers`, () =>
    fetch(url + emulator.healthPath).then(
      ({ ok }) => ok,
      () => false,
    ),
  );
  return url;
}

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  if (address === null || typeof address === 'string') throw new Error('No free port');
  return address.port;
}

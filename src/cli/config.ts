/** Where the service is, and with which token: from the environment, else as `keyward login` kept it. */
import { chmod, mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { Failure, misuse } from './errors.ts';
import type { Io } from './io.ts';

export type Target = { url: string; token?: string };

/** That of `npm start`. */
export const defaultUrl = 'http://127.0.0.1:3000';

/** XDG's folder for configuration, or the home directory's. */
export function configFile(env: Io['env']): string {
  const given = env['XDG_CONFIG_HOME'] ?? '';
  // The specification has relative paths ignored.
  const home = path.isAbsolute(given) ? given : path.join(env['HOME'] ?? os.homedir(), '.config');
  return path.join(home, 'keyward', 'config.json');
}

/** @throws where the text is no URL of a service. */
export function serviceUrl(text: string, from: string): string {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url === undefined || !/^https?:$/.test(url.protocol)) {
    throw misuse(`${from} is no URL of a service: ${text}`, `It is like ${defaultUrl}.`);
  }
  if (url.username !== '' || url.password !== '' || url.search !== '' || url.hash !== '') {
    throw misuse(`${from} has more than a host and a path in it.`, `It is like ${defaultUrl}.`);
  }
  return url.href.replace(/\/+$/, '');
}

async function readConfig(env: Io['env']): Promise<Partial<Target>> {
  const file = configFile(env);
  try {
    const { url, token } = JSON.parse(await readFile(file, 'utf8'));
    return { ...(typeof url === 'string' ? { url } : {}), ...(typeof token === 'string' ? { token } : {}) };
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return {};
    throw new Failure(`${file} can't be read: ${(error as Error).message}`, { hint: 'keyward login writes it anew.' });
  }
}

/** The service to speak to. A token that was kept goes to the service that it was kept for, and to no other. */
export async function findTarget(env: Io['env']): Promise<Target> {
  const kept = env['KEYWARD_URL'] !== undefined && env['KEYWARD_TOKEN'] !== undefined ? {} : await readConfig(env);
  const url = serviceUrl(env['KEYWARD_URL'] ?? kept.url ?? defaultUrl, 'KEYWARD_URL');
  const token = env['KEYWARD_TOKEN'] ?? (kept.url === url ? kept.token : undefined);
  return { url, ...(token === undefined || token === '' ? {} : { token }) };
}

/** Keeps it where nobody else can read it. */
export async function keepTarget(env: Io['env'], target: Target): Promise<string> {
  const file = configFile(env);
  const folder = path.dirname(file);
  await mkdir(folder, { recursive: true, mode: 0o700 });
  await chmod(folder, 0o700);
  const draft = `${file}.${process.pid}`;
  await writeFile(draft, `${JSON.stringify(target, null, 2)}\n`, { mode: 0o600 });
  await rename(draft, file);
  return file;
}

/** @returns whether there was anything to forget. */
export async function forgetTarget(env: Io['env']): Promise<boolean> {
  try {
    await rm(configFile(env));
    return true;
  } catch {
    return false;
  }
}

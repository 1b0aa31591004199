/** A whole service in this process, with its own database and local KMS, spoken to over HTTP only. */
import { mkdtemp, rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { KMSClient } from '@aws-sdk/client-kms';
import { pino } from 'pino';
import type { Test } from 'tap';
import { buildApp } from '../../src/app.ts';
import { readConfig } from '../../src/config.ts';
import type { Key } from '../../src/schemas/key.ts';
import { startServices } from '../../src/services/start.ts';
import { newDatabase } from './postgres.ts';

export type Answer<Body = Key> = { status: number; headers: Headers; body: Body };

export type Problem = {
  type: string;
  title: string;
  status: number;
  detail: string;
  instance: string;
  request_id: string;
  id?: string;
  errors?: { pointer: string; parameter?: string; code: string; detail: string }[];
  kms_error?: { code: string; message: string; operation: string | null };
};

export type Call = <Body = Key>(
  method: string,
  path: string,
  body?: unknown,
  headers?: Record<string, string>,
) => Promise<Answer<Body>>;

/** Without the ten seconds that Node gives a connection: many at once take longer on a busy machine, and nothing was sent. */
async function fetchPatiently(url: URL, request: RequestInit): Promise<Response> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await fetch(url, request);
    } catch (error) {
      const { code } = ((error as Error).cause ?? {}) as { code?: string };
      if (code === 'UND_ERR_CONNECT_TIMEOUT' && attempt < 10) continue;
      // Of a process that is gone, this alone tells which one it was.
      if (error instanceof Error) error.message += `: ${request.method} ${url}`;
      throw error;
    }
  }
}

/** Calls a service. A body that is a string is sent as it is. */
export function caller(url: string): Call {
  return async <Body>(method: string, route: string, body?: unknown, headers: Record<string, string> = {}) => {
    const response = await fetchPatiently(new URL(route, url), {
      method,
      headers: { ...(body === undefined ? {} : { 'content-type': 'application/json' }), ...headers },
      ...(body === undefined ? {} : { body: typeof body === 'string' ? body : JSON.stringify(body) }),
    });
    const text = await response.text();
    const isJson = /[/+]json/.test(response.headers.get('content-type') ?? '');
    return {
      status: response.status,
      headers: response.headers,
      body: (isJson && text !== '' ? JSON.parse(text) : text) as Body,
    };
  };
}

/** A client of the AWS SDK for any endpoint. */
export function kmsClient(endpoint: string, account = '111122223333', region = 'us-east-1'): KMSClient {
  return new KMSClient({
    endpoint,
    region,
    credentials: { accessKeyId: account, secretAccessKey: 'secret' },
    maxAttempts: 1,
  });
}

export type LoggedCall = {
  at: string;
  region: string;
  operation: string;
  key_id: string | null;
  parameters: Record<string, unknown>;
  error: string | null;
};

/** What a local KMS tells and takes beside KMS's own operations. */
export function kmsControl(endpoint: string) {
  const call = caller(endpoint);
  return {
    /** The calls since the log was last cleared, without reads unless asked for. */
    calls: async ({ reads = false } = {}) => {
      const { body } = await call<{ calls: LoggedCall[] }>('GET', '/_local/calls');
      return body.calls.filter(({ operation }) => reads || !/^(Get|List|Describe)/.test(operation));
    },
    clear: () => call('DELETE', '/_local/calls'),
    fault: (...faults: object[]) => call('POST', '/_local/faults', faults),
    faults: () => call<{ faults: { kind: string; type?: string; fired: number }[] }>('GET', '/_local/faults'),
    clearFaults: () => call('DELETE', '/_local/faults'),
    loseKey: (arn: string | null) => call('POST', '/_local/lost-keys', { arn }),
    /** Changes settings of a local KMS, such as `policy_rendering`. */
    settings: (changed: object) => call('PUT', '/_local/settings', changed),
    /** Puts into a key what no operation takes: `policy`, `description`, `tags`, `enabled`; tells what was there. */
    changeKey: (arn: string | null, changed: object) =>
      call<{ description: string; policy: string; enabled: boolean }>('PATCH', '/_local/keys', { arn, ...changed }),
    advanceClock: (seconds: number) => call<{ now: string }>('POST', '/_local/clock', { advance_seconds: seconds }),
  };
}

/**
 * For tests that move the clock of KMS: a key that is gone a moment after it was made, by ours, is one that KMS does not show
 * yet, and would be asked for again until it has settled.
 */
export const withMovedClock = { SETTLE_SECONDS: '0' };

/** For tests that count what KMS is asked: the second look that follows a change comes after they are over. */
export const withLateSecondLooks = { SETTLE_SECONDS: '600' };

/** Settings of a local KMS for tests that see a change under way: a machine may do little between it and its answer. */
export const tooSlow = { latency_milliseconds: 1000 };

/** Lets time pass for KMS, and has deletion dates on record be over that are over there. */
export async function letDaysPass({ control, services }: Pick<Service, 'control' | 'services'>, days: number) {
  const { body } = await control.advanceClock(days * 86_400 + 1);
  const query = "UPDATE keys SET deletion_date = now() - interval '1 second' WHERE deletion_date <= $1";
  await services.database.pool.query(query, [body.now]);
}

/** A machine that does much else is late, and its services are not overloaded. */
export const onAnyMachine = { MAX_EVENT_LOOP_DELAY: '0' };

type Service = Awaited<ReturnType<typeof startService>>;

/** Starts a service; it is stopped when the test ends. */
export async function startService(t: Test, environment: Record<string, string> = {}) {
  const dataDir = await mkdtemp(path.join(os.tmpdir(), 'keyward-test-'));
  const DATABASE_URL = environment['DATABASE_URL'] ?? (await newDatabase(t));
  const config = readConfig({
    DATA_DIR: dataDir,
    LOCAL_KMS_PORT: '0',
    PORT: '0',
    ...onAnyMachine,
    ...environment,
    DATABASE_URL,
  });
  const log = pino({ level: process.env['TEST_LOG_LEVEL'] ?? 'silent' });
  const started = await startServices(config, log);
  const app = await buildApp({ services: started.services, logger: log });
  const url = await app.listen({ host: '127.0.0.1', port: 0 });
  const kmsUrl = started.localKmsUrl ?? config.KMS_ENDPOINT;
  const kms = kmsClient(kmsUrl);
  t.teardown(async () => {
    kms.destroy();
    await started.stopWork();
    await app.close();
    await started.close();
    await rm(dataDir, { recursive: true, force: true });
  });
  const { services, stopWork } = started;
  return { url, call: caller(url), kms, kmsUrl, control: kmsControl(kmsUrl), services, stopWork, app };
}

/**
 * Milliseconds: a look costs as much as a service that waits does in a fifth of a second. What has lasted for two seconds
 * waits for a deadline.
 */
const longestPause = 500;

/**
 * Looks again and again until `look` finds something; fails after a time that no machine is too slow for.
 * @param options `longest`: milliseconds between two looks at most, for what is soon over.
 */
export async function eventually<Found>(
  what: string,
  look: () => Promise<Found | undefined | false>,
  milliseconds = 180_000,
  { longest = longestPause } = {},
): Promise<Found> {
  const deadline = Date.now() + milliseconds;
  for (let pause = 20; ; pause = Math.min(longest, pause * 1.3)) {
    const found = await look();
    if (found !== undefined && found !== false) return found;
    if (Date.now() > deadline) throw new Error(`Waited ${milliseconds} ms in vain: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, pause));
  }
}

/**
 * A backup that is put back under a running service, as it was feared: five creates were accepted while KMS was away, the
 * cluster's folder was copied, life went on, and the copy was put back. Real processes, and PostgreSQL's own files.
 */
import { cp, readFile, rm } from 'node:fs/promises';
import path from 'node:path';
import type { KMSClient } from '@aws-sdk/client-kms';
import { startLocalKms } from '../../src/local/kms/index.ts';
import { type EmbeddedPostgres, startEmbeddedPostgres } from '../../src/local/postgres.ts';
import type { Key } from '../../src/schemas/key.ts';
import type { HeldKey, Recovery, RecoveryResumed } from '../../src/schemas/recovery.ts';
import { allKeyIds, metadata, tags } from './kms-truth.ts';
import { type Owner, type Service, startProcess, startProxy, temporaryFolder } from './process.ts';
import { type Call, eventually, kmsClient, kmsControl, type LoggedCall } from './service.ts';

/** Seconds, short so that a drill takes few of them. */
const times = { WRITE_DEADLINE_SECONDS: '6', SETTLE_SECONDS: '1', LEASE_SECONDS: '2' };

export type Stage = {
  service: Service;
  call: Call;
  kms: KMSClient;
  kmsUrl: string;
  control: ReturnType<typeof kmsControl>;
  /** Copies the cluster's folder while PostgreSQL is stopped. */
  backUp(): Promise<void>;
  /** Puts the copy in the cluster's place. The service runs on. */
  putBack(): Promise<void>;
  /** Kills PostgreSQL as a power failure would, and starts it again. */
  crash(): Promise<void>;
};

/** Starts PostgreSQL, a local KMS and one process of the service. They end with their owner. */
export async function setStage(owner: Owner, environment: Record<string, string> = {}): Promise<Stage> {
  const folder = await temporaryFolder(owner);
  const cluster = path.join(folder, 'postgres');
  let postgres: EmbeddedPostgres = await startEmbeddedPostgres(folder);
  owner.teardown(() => postgres.stop());
  const target = new URL(postgres.connectionString);
  const proxy = await startProxy(owner, target);
  const localKms = await startLocalKms({ dataDir: path.join(folder, 'kms') });
  owner.teardown(() => localKms.close());
  const kms = kmsClient(localKms.url);
  owner.teardown(() => kms.destroy());
  const service = await startProcess(owner, {
    DATABASE_URL: proxy.url,
    KMS_ENDPOINT: localKms.url,
    LOG_LEVEL: process.env['TEST_LOG_LEVEL'] ?? 'fatal',
    ...times,
    ...environment,
  });
  const whileStopped = async (act: () => Promise<void>) => {
    proxy.cut();
    await postgres.stop();
    await act();
    postgres = await startEmbeddedPostgres(folder);
    target.port = new URL(postgres.connectionString).port;
    proxy.mend();
    await eventually('the service is ready again', async () => (await service.call('GET', '/readyz')).status === 200);
  };
  return {
    service,
    call: service.call,
    kms,
    kmsUrl: localKms.url,
    control: kmsControl(localKms.url),
    backUp: () => whileStopped(() => cp(cluster, `${cluster}.backup`, { recursive: true })),
    putBack: () =>
      whileStopped(async () => {
        await rm(cluster, { recursive: true });
        await cp(`${cluster}.backup`, cluster, { recursive: true });
      }),
    crash: async () => {
      const [pid] = (await readFile(path.join(cluster, 'postmaster.pid'), 'utf8')).split('\n');
      process.kill(Number(pid), 'SIGKILL');
      await whileStopped(async () => {});
    },
  };
}

/** The keys of the story, as Keyward last showed them before the copy was put back. */
export type Story = {
  /** Accepted while KMS was away, made after the backup. */
  accepted: Key[];
  kept: Key;
  disabled: Key;
  retagged: Key;
  restored: Key;
  released: Key;
  deleted: Key;
  /** Made after the backup: the copy knows nothing of it. */
  unknown: Key;
};

const read = async (call: Call, { id }: Key) => (await call('GET', `/v1/keys/${id}`)).body;

/** All that happened before and after the backup. */
export async function liveOn({ call, control, backUp }: Stage): Promise<Story> {
  const names = ['kept', 'disabled', 'retagged', 'restored', 'released', 'deleted'] as const;
  const made = new Map<string, Key>();
  for (const description of names) {
    made.set(description, (await call('POST', '/v1/keys', { description, tags: { team: 'one' } })).body);
  }
  const key = (name: (typeof names)[number]) => made.get(name) as Key;
  await call('DELETE', `/v1/keys/${key('restored').id}`);
  await control.fault({ operation: '*', kind: 'reset_before_effect', times: null });
  const accepted: Key[] = [];
  for (let index = 0; index < 5; index += 1) {
    const body = { description: `accepted ${index}` };
    accepted.push((await call('POST', '/v1/keys', body, { prefer: 'respond-async' })).body);
  }
  await backUp();
  await control.clearFaults();
  for (const { id } of accepted) {
    await eventually('KMS holds what was accepted', async () => {
      return (await call('GET', `/v1/keys/${id}`)).body.status.state === 'in_sync';
    });
  }
  await call('PATCH', `/v1/keys/${key('disabled').id}`, { is_enabled: false });
  await call('PATCH', `/v1/keys/${key('retagged').id}`, { tags: { team: 'two' } });
  await call('POST', `/v1/keys/${key('restored').id}/restore`);
  await call('POST', `/v1/keys/${key('released').id}/release`);
  await call('DELETE', `/v1/keys/${key('deleted').id}`);
  const { body: unknown } = await call('POST', '/v1/keys', { description: 'made after the backup' });
  return {
    accepted: await Promise.all(accepted.map((one) => read(call, one))),
    kept: await read(call, key('kept')),
    disabled: await read(call, key('disabled')),
    retagged: await read(call, key('retagged')),
    restored: await read(call, key('restored')),
    released: key('released'),
    deleted: await read(call, key('deleted')),
    unknown,
  };
}

export type Report = { recovery: Recovery; keys: HeldKey[]; writes: LoggedCall[] };

/** Waits until every key was compared with KMS. `writes`: what was written to KMS since the log was cleared. */
export async function readReport({ call, control }: Stage): Promise<Report> {
  const recovery = await eventually('every key was compared with KMS', async () => {
    const { status, body } = await call<Recovery>('GET', '/v1/recovery');
    return status === 200 && body.held && body.keys_checked === body.keys_total && body;
  });
  const { body } = await call<{ items: HeldKey[] }>('GET', '/v1/recovery/keys?limit=200');
  return { recovery, keys: body.items, writes: await control.calls() };
}

/** Says go. */
export async function resume({ call }: Stage, keys: 'all' | string[], as: 'observed' | 'declared') {
  return call<RecoveryResumed>('POST', '/v1/recovery/resume', { keys, as });
}

/** What KMS has, and whose it is by its ownership tag. */
export async function keysInKms({ kms }: Stage) {
  return Promise.all(
    (await allKeyIds(kms)).map(async (keyId) => {
      const { KeyState } = await metadata(kms, keyId);
      const held = await tags(kms, keyId);
      return { keyId, state: KeyState, owner: held['keyward:id'] ?? null, team: held['team'] ?? null };
    }),
  );
}

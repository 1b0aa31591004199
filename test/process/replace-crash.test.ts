import type { KMSClient } from '@aws-sdk/client-kms';
import { type Test, test } from 'tap';
import type { Key } from '../../src/schemas/key.ts';
import { allKeyIds, metadata, tags } from '../support/kms-truth.ts';
import { type Service, soonTakenOver, startBackends, startProcess } from '../support/process.ts';
import { eventually, kmsClient, kmsControl, startService } from '../support/service.ts';

const ecc = { customer_master_key_spec: 'ECC_NIST_P256', key_usage: 'SIGN_VERIFY' };
const count = 24;

/** After so many KMS writes a service is killed. Each service is the one that finds what the last one left. */
const kills = [3, 20, 40];

test(`SIGKILL in the middle of ${count} replacements: one new key each, the old one scheduled once`, async (t) => {
  const { databaseUrl: DATABASE_URL, kmsUrl: KMS_ENDPOINT } = await startBackends(t);
  const control = kmsControl(KMS_ENDPOINT);
  const kms = kmsClient(KMS_ENDPOINT);
  t.teardown(() => kms.destroy());
  const environment = { DATABASE_URL, KMS_ENDPOINT, ...soonTakenOver };
  for (const [index, calls] of kills.entries()) {
    const first = await startProcess(t, environment);
    const replaced = await replaceUntil(first, control, calls);
    await control.settings({ latency_milliseconds: 0 });
    const isLast = index === kills.length - 1;
    const second = isLast ? await startService(t, environment) : await startProcess(t, environment);
    await isReplacedOnce(t, second, kms, replaced);
    // One is enough, and the next is to find what it left.
    if ('child' in second) second.child.kill('SIGKILL');
  }
});

type Replaced = { olds: Key[]; wasAccepted: boolean[] };

async function replaceUntil(
  { call, child, ended }: Service,
  control: ReturnType<typeof kmsControl>,
  callsBeforeTheEnd: number,
): Promise<Replaced> {
  const create = async () => (await call('POST', '/v1/keys', { is_enabled: false }, { prefer: 'wait=60' })).body;
  const olds = await Promise.all(Array.from({ length: count }, create));
  await control.settings({ latency_milliseconds: 20 });
  await control.clear();
  const replace = async ({ id }: Key) => {
    const headers = { prefer: 'respond-async' };
    return (await call('POST', `/v1/keys/${id}/replace`, ecc, headers).catch(() => undefined))?.status === 202;
  };
  const accepted = Promise.all(olds.map(replace));
  await eventually('KMS was called', async () => {
    const calls = await control.calls();
    const ofReplacements = calls.filter(({ operation }) =>
      /^(CreateKey|DisableKey|ScheduleKeyDeletion)$/.test(operation),
    );
    return ofReplacements.length >= callsBeforeTheEnd;
  });
  child.kill('SIGKILL');
  const wasAccepted = await accepted;
  await ended;
  return { olds, wasAccepted };
}

async function isReplacedOnce(
  t: Test,
  { call }: Pick<Service, 'call'>,
  kms: KMSClient,
  { olds, wasAccepted }: Replaced,
) {
  const ids = new Set(olds.map(({ id }) => id));
  const keys = await eventually(
    'all keys are in sync',
    async () => {
      const { status, body } = await call<{ items: Key[] }>('GET', '/v1/keys?limit=200');
      if (status !== 200) return undefined;
      const ours = body.items.filter(({ id }) => ids.has(id));
      return ours.every(({ status }) => status.state === 'in_sync' && status.error === null) && ours;
    },
    110_000,
  );
  const inKms = new Map<string, string[]>();
  for (const keyId of await allKeyIds(kms)) {
    const owner = (await tags(kms, keyId))['keyward:id'] ?? 'nobody';
    inKms.set(owner, [...(inKms.get(owner) ?? []), keyId]);
  }
  t.equal(keys.length, count);
  for (const [index, old] of olds.entries()) {
    const key = keys.find(({ id }) => id === old.id);
    const isReplaced = key?.customer_master_key_spec === 'ECC_NIST_P256';
    if (wasAccepted[index]) t.ok(isReplaced, 'what was accepted is done');
    t.equal(key?.key_id === old.key_id, !isReplaced);
    t.same(new Set(inKms.get(old.id)), new Set([old.key_id, key?.key_id]), 'exactly one new key');
    t.match(await metadata(kms, key?.key_id ?? ''), { KeyState: 'Disabled', KeySpec: key?.customer_master_key_spec });
    if (!isReplaced) continue;
    await eventually('the old one is scheduled', async () => {
      return (await metadata(kms, old.key_id ?? '')).KeyState === 'PendingDeletion';
    });
  }
}

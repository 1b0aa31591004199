import { type Test, test } from 'tap';
import type { Key } from '../../src/schemas/key.ts';
import { allKeyIds, metadata, tags } from '../support/kms-truth.ts';
import { startBackends, startProcess } from '../support/process.ts';
import { eventually, kmsClient, kmsControl } from '../support/service.ts';

const ecc = { customer_master_key_spec: 'ECC_NIST_P256', key_usage: 'SIGN_VERIFY' };
const count = 24;

test(`SIGKILL in the middle of ${count} replacements: one new key each, the old one scheduled once`, async (suite) => {
  suite.jobs = 3;
  for (const calls of [3, 20, 40]) {
    suite.test(`after ${calls} KMS writes`, { buffered: true }, (t) => killAfter(t, calls));
  }
});

async function killAfter(t: Test, callsBeforeTheEnd: number): Promise<void> {
  const { databaseUrl: DATABASE_URL, kmsUrl: KMS_ENDPOINT } = await startBackends(t);
  const control = kmsControl(KMS_ENDPOINT);
  // A write that was cut off is waited for; the shorter, the sooner the test is over.
  const environment = { DATABASE_URL, KMS_ENDPOINT, WRITE_DEADLINE_SECONDS: '9', SETTLE_SECONDS: '1' };
  const first = await startProcess(t, environment);
  const create = async () => (await first.call('POST', '/v1/keys', { is_enabled: false }, { prefer: 'wait=60' })).body;
  const olds = await Promise.all(Array.from({ length: count }, create));
  await control.settings({ latency_milliseconds: 20 });
  await control.clear();
  const replace = async ({ id }: Key) => {
    const headers = { prefer: 'respond-async' };
    return (await first.call('POST', `/v1/keys/${id}/replace`, ecc, headers).catch(() => undefined))?.status === 202;
  };
  const accepted = Promise.all(olds.map(replace));
  await eventually('KMS was called', async () => {
    const calls = await control.calls();
    const ofReplacements = calls.filter(({ operation }) =>
      /^(CreateKey|DisableKey|ScheduleKeyDeletion)$/.test(operation),
    );
    return ofReplacements.length >= callsBeforeTheEnd;
  });
  first.child.kill('SIGKILL');
  const wasAccepted = await accepted;
  await first.ended;

  await control.settings({ latency_milliseconds: 0 });
  const second = await startProcess(t, environment);
  const kms = kmsClient(KMS_ENDPOINT);
  t.teardown(() => kms.destroy());
  const keys = await eventually(
    'all keys are in sync',
    async () => {
      const { status, body } = await second.call<{ items: Key[] }>('GET', '/v1/keys?limit=200');
      if (status !== 200) return undefined;
      return body.items.every(({ status }) => status.state === 'in_sync' && status.error === null) && body.items;
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

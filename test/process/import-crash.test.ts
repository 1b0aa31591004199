import { CreateKeyCommand, ScheduleKeyDeletionCommand } from '@aws-sdk/client-kms';
import { test } from 'tap';
import type { Import } from '../../src/schemas/imports.ts';
import { ended, itemsOf } from '../support/imports.ts';
import { tags } from '../support/kms-truth.ts';
import { soonTakenOver, startBackends, startProcess } from '../support/process.ts';
import { eventually, kmsClient, kmsControl, startService } from '../support/service.ts';

/** More than a worker takes at once (3 batches of 64), which are read side by side and done at almost the same time. */
const count = 200;

test('kill -9 in the middle of an import: it goes on by itself, to the same end', async (t) => {
  const { databaseUrl: DATABASE_URL, kmsUrl: KMS_ENDPOINT } = await startBackends(t);
  const kms = kmsClient(KMS_ENDPOINT);
  t.teardown(() => kms.destroy());
  const keyIds = await Promise.all(
    Array.from({ length: count }, async (_, index) => {
      const { KeyMetadata } = await kms.send(new CreateKeyCommand({ Description: `key ${index}` }));
      return KeyMetadata?.KeyId ?? '';
    }),
  );
  const [going = ''] = keyIds;
  await kms.send(new ScheduleKeyDeletionCommand({ KeyId: going }));
  const control = kmsControl(KMS_ENDPOINT);
  await control.settings({ latency_milliseconds: 1000 });
  await control.clear();

  const environment = { DATABASE_URL, KMS_ENDPOINT, ...soonTakenOver };
  const first = await startProcess(t, environment);
  const { body } = await first.call<Import>('POST', '/v1/imports', { source: { all: true } });
  const imported = async (call: typeof first.call) =>
    (await call<Import>('GET', `/v1/imports/${body.id}`)).body.counts.imported;
  const halfway = async () => (await imported(first.call)) >= 10;
  await eventually('the import is halfway', halfway, 180_000, { longest: 20 });
  first.child.kill('SIGKILL');
  await first.ended;

  const second = await startService(t, environment);
  t.ok((await imported(second.call)) < count - 1, 'some keys were left');
  await control.settings({ latency_milliseconds: 0 });
  const over = await ended(second.call, body.id);
  t.match(over, {
    state: 'done',
    counts: { total: count, imported: count - 1, skipped: 1, failed: 0, already_managed: 0 },
  });
  const items = await itemsOf(second.call, body.id);
  t.same(new Set(items.map(({ arn }) => arn?.split('/').at(-1))), new Set(keyIds));
  t.match(
    items.find(({ arn }) => arn?.endsWith(going)),
    { outcome: 'skipped', reason: { code: 'pending_deletion' } },
  );
  await eventually('every ownership tag is written', async () => {
    const { body: summary } = await second.call<{ by_state: object }>('GET', '/v1/keys/summary');
    return JSON.stringify(summary.by_state) === JSON.stringify({ in_sync: count - 1 });
  });
  for (const { arn, id } of items.slice(0, 10).filter(({ outcome }) => outcome === 'imported')) {
    t.strictSame(await tags(kms, arn?.split('/').at(-1) ?? ''), { 'keyward:id': id });
  }
  t.same(new Set((await control.calls()).map(({ operation }) => operation)), new Set(['TagResource']));
  const { body: events } = await second.call<{ items: object[] }>('GET', '/v1/events?type=import.finished');
  t.equal(events.items.length, 1);
});

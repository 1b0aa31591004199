import { test } from 'tap';
import type { Event } from '../../src/schemas/history.ts';
import { eventually, startService } from '../support/service.ts';

test('a mend that had no effect is reported, and not repeated at every look', async (t) => {
  const settings = { SETTLE_SECONDS: '1', REFRESH_INTERVAL_SECONDS: '1' };
  const { call, control } = await startService(t, settings);
  await control.settings({
    ignored_parameters: { EnableKeyRotation: ['RotationPeriodInDays'], TagResource: ['Tags'] },
  });
  const { body: key } = await call('POST', '/v1/keys', { enable_key_rotation: true, rotation_period_in_days: 180 });
  const status = async () => (await call('GET', `/v1/keys/${key.id}`)).body.status;
  const reported = await eventually('reported', async () => {
    const now = await status();
    return now.error?.code === 'NoEffect' && now;
  });
  t.match(reported, {
    state: 'drifted',
    drift: [{ field: 'rotation_period_in_days', desired: 180, observed: 365 }],
    error: { retryable: true, attempts: 1, message: /EnableKeyRotation.*rotation_period_in_days still was 365/ },
  });
  const wait = Date.parse(reported.error?.next_attempt_at ?? '') - Date.now();
  t.ok(wait > 3_000_000 && wait < 3_700_000, `tried again in an hour: ${wait}`);

  await control.clear();
  const eventCount = async () =>
    (await call<{ items: Event[] }>('GET', `/v1/keys/${key.id}/events?limit=100`)).body.items.length;
  const before = { events: await eventCount(), looks: (await status()).last_observed_at };
  let looks = 0;
  await eventually('looked at some times more', async () => {
    const { last_observed_at } = await status();
    if (last_observed_at !== before.looks) looks += 1;
    before.looks = last_observed_at;
    return looks >= 3;
  });
  t.same(await control.calls(), [], 'no write');
  t.equal(await eventCount(), before.events, 'no event');
  t.match(await status(), { state: 'drifted', error: { code: 'NoEffect', attempts: 1 } });

  const { body: asked } = await call('POST', `/v1/keys/${key.id}/sync`);
  t.same(
    (await control.calls()).map(({ operation }) => operation),
    ['EnableKeyRotation'],
    'who asks outright has it tried again',
  );
  t.match(asked.status, { state: 'drifted', error: { code: 'NoEffect', attempts: 2 } });

  await control.settings({ ignored_parameters: {} });
  await call('POST', `/v1/keys/${key.id}/sync`);
  await eventually('it has its effect', async () => {
    const now = await status();
    return now.state === 'in_sync' && now.error === null;
  });
});

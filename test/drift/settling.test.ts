import { isDeepStrictEqual } from 'node:util';
import { EnableKeyRotationCommand, UpdateKeyDescriptionCommand } from '@aws-sdk/client-kms';
import { test } from 'tap';
import { rotation } from '../support/kms-truth.ts';
import { caller, eventually, startService } from '../support/service.ts';

test('with stale reads of 10 seconds, 100 updates cause no second write and no drift event', async (t) => {
  const { call, kms, kmsUrl, control, services } = await startService(t, {
    REFRESH_INTERVAL_SECONDS: '1',
    SETTLE_SECONDS: '12',
  });
  const settings = { stale_reads_seconds: 10 };
  t.equal((await caller(kmsUrl)('PUT', '/_local/settings', settings)).status, 200);
  const keys = await Promise.all(
    Array.from({ length: 10 }, async () => (await call('POST', '/v1/keys', { tags: { n: '0' } })).body),
  );
  await control.clear();
  for (let round = 1; round <= 10; round += 1) {
    await Promise.all(
      keys.map(async ({ id }, index) => {
        const patch = {
          description: `round ${round}`,
          // There and back again: a read that is stale equals what is wanted next.
          is_enabled: round % 2 === 0,
          tags: { n: `${round}`, index: `${index}` },
        };
        const { status } = await call('PATCH', `/v1/keys/${id}`, patch, { prefer: 'wait=60' });
        t.equal(status, 200);
      }),
    );
  }
  const observations = async () => {
    const { rows } = await services.database.pool.query<{ oldest: Date }>(
      'SELECT min(last_observed_at) AS oldest FROM work',
    );
    return rows[0]?.oldest.getTime() ?? 0;
  };
  const lastWrite = Date.now();
  await eventually(
    'each key was looked at after the last stale read',
    async () => (await observations()) > lastWrite + 12_000,
  );
  const writes = await control.calls();
  const countOf = (name: string) => writes.filter(({ operation }) => operation === name).length;
  t.equal(countOf('UpdateKeyDescription'), 100);
  t.equal(countOf('TagResource'), 100);
  t.equal(countOf('EnableKey') + countOf('DisableKey'), 100);
  t.equal(writes.length, 300, 'and nothing else');
  const { rows } = await services.database.pool.query("SELECT 1 FROM events WHERE type LIKE 'drift.%'");
  t.equal(rows.length, 0);
  for (const { id } of keys) {
    t.match((await call('GET', `/v1/keys/${id}`)).body, {
      description: 'round 10',
      status: { state: 'in_sync', generation: 11 },
    });
  }

  t.test('what somebody else changes meanwhile is drift at once', async (t) => {
    const [key] = keys;
    await call('PATCH', `/v1/keys/${key?.id}`, { description: 'mine' });
    await caller(kmsUrl)('PUT', '/_local/settings', { stale_reads_seconds: 0 });
    await kms.send(new UpdateKeyDescriptionCommand({ KeyId: key?.key_id ?? '', Description: 'theirs' }));
    const { body } = await call('POST', `/v1/keys/${key?.id}/refresh`);
    t.match(body.status.drift, [{ field: 'description', desired: 'mine', observed: 'theirs' }]);
  });

  t.test('what was adopted is not written again, whatever older answer comes next', async (t) => {
    const [, key] = keys;
    await call('PATCH', `/v1/keys/${key?.id}`, { drift_policy: 'adopt', description: 'mine' });
    await control.clear();
    await kms.send(new UpdateKeyDescriptionCommand({ KeyId: key?.key_id ?? '', Description: 'theirs' }));
    await eventually('it is adopted', async () => {
      const { body } = await call('GET', `/v1/keys/${key?.id}`);
      return body.description === 'theirs' && body.status.state === 'in_sync';
    });
    const writes = (await control.calls()).filter(({ key_id }) => key_id === key?.key_id);
    t.strictSame(
      writes.map(({ operation }) => operation),
      ['UpdateKeyDescription'],
      'the one from outside',
    );
  });
});

test('rotation that comes back with a cancelled deletion ends, though the first read of it is stale', async (t) => {
  const { call, kms, kmsUrl, control } = await startService(t, { SETTLE_SECONDS: '3' });
  const declared = { enabled: false, period: null };
  for (const reads of [1, 2]) {
    const { body: key } = await call('POST', '/v1/keys', {});
    const KeyId = key.key_id ?? '';
    await kms.send(new EnableKeyRotationCommand({ KeyId }));
    await call('DELETE', `/v1/keys/${key.id}`);
    await caller(kmsUrl)('PUT', '/_local/settings', { stale_reads_seconds: 2 });
    await control.clear();
    // Every other read is stale: one of the two keys meets such a one.
    for (let read = 0; read < reads; read += 1) await rotation(kms, KeyId);
    t.equal((await call('POST', `/v1/keys/${key.id}/restore`)).status, 200);
    await caller(kmsUrl)('PUT', '/_local/settings', { stale_reads_seconds: 0 });
    await eventually('it does not rotate', async () => isDeepStrictEqual(await rotation(kms, KeyId), declared), 20_000);
    const writes = (await control.calls()).map(({ operation }) => operation);
    t.same(writes, ['CancelKeyDeletion', 'EnableKey', 'DisableKeyRotation']);
  }
});

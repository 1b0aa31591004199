import { TagResourceCommand, UntagResourceCommand } from '@aws-sdk/client-kms';
import { test } from 'tap';
import type { Event } from '../../src/schemas/history.ts';
import { metadata, tags } from '../support/kms-truth.ts';
import { eventually, type Problem, startService } from '../support/service.ts';

test('an ownership tag that somebody took off or changed', async (t) => {
  const { call, kms, control } = await startService(t, { SETTLE_SECONDS: '0', REFRESH_INTERVAL_SECONDS: '2' });
  const untag = (KeyId: string) => kms.send(new UntagResourceCommand({ KeyId, TagKeys: ['keyward:id'] }));
  const ownerOf = async (keyId: string) => (await tags(kms, keyId))['keyward:id'];
  const create = async (body: object = {}) => {
    const { body: key } = await call('POST', '/v1/keys', body);
    return { ...key, key_id: key.key_id ?? '' };
  };
  const writesTo = async (keyId: string) =>
    (await control.calls()).filter(({ key_id }) => key_id === keyId).map(({ operation }) => operation);

  t.test('is put back by the scheduled refresh, whatever the drift policy', async (t) => {
    const keys = await Promise.all(
      ['enforce', 'report', 'adopt'].map((drift_policy) => create({ drift_policy, is_enabled: false })),
    );
    for (const key of keys) {
      await untag(key.key_id);
      await eventually(`${key.drift_policy}: it is back`, async () => (await ownerOf(key.key_id)) === key.id);
      const put = await eventually('it is told', async () => {
        const { body } = await call<{ items: Event[] }>('GET', `/v1/keys/${key.id}/events?limit=3`);
        return body.items.find(({ type, origin }) => type === 'kms.write' && origin === 'drift');
      });
      t.match(put.data, { operation: 'TagResource', parameters: { Tags: { 'keyward:id': key.id } } });
      t.match((await call('GET', `/v1/keys/${key.id}`)).body, { is_enabled: false, status: { generation: 1 } });
    }
  });

  t.test('is put back before anything else is written, so that IAM may go by it', async (t) => {
    await call('PATCH', '/v1/providers/default', { refresh_interval_seconds: 600 });
    const key = await create({ description: 'a', drift_policy: 'report' });
    await untag(key.key_id);
    await control.clear();
    const patch = { description: 'b', tags: { a: '1' }, is_enabled: false };
    t.equal((await call('PATCH', `/v1/keys/${key.id}`, patch)).status, 200);
    t.same(await writesTo(key.key_id), ['TagResource', 'UpdateKeyDescription', 'TagResource', 'DisableKey']);
    await untag(key.key_id);
    await control.clear();
    t.equal((await call('DELETE', `/v1/keys/${key.id}`)).status, 202);
    t.same(await writesTo(key.key_id), ['TagResource', 'ScheduleKeyDeletion']);
  });

  t.test('nothing is written to a key that carries the tag of another record, and release leaves it', async (t) => {
    const [key, other] = [await create(), await create()];
    const Tags = [{ TagKey: 'keyward:id', TagValue: other.id }];
    await kms.send(new TagResourceCommand({ KeyId: key.key_id, Tags }));
    await control.clear();
    const { status, body } = await call<Problem>('PATCH', `/v1/keys/${key.id}`, { description: 'b' });
    t.equal(status, 422);
    t.match(body.detail, /OwnedByAnother: .* carries the ownership tag of another record/);
    t.notMatch(body.detail, other.id, 'who may see this key may not see that one');
    t.equal((await call('POST', `/v1/keys/${key.id}/sync`)).status, 422);
    t.equal((await call('GET', `/v1/keys/${key.id}`)).body.status.error?.code, 'OwnedByAnother');
    t.same(await control.calls(), []);
    t.equal((await call('POST', `/v1/keys/${key.id}/release`)).status, 204);
    t.equal(await ownerOf(key.key_id), other.id);
    t.equal((await metadata(kms, key.key_id)).Description, '');
  });
});

/** A proxy that mixes answers up, or keeps them: each is KMS's own, and of another call. */
import { CreateKeyCommand, ListKeysCommand } from '@aws-sdk/client-kms';
import { test } from 'tap';
import { startGateway } from '../support/gateway.ts';
import { allKeyIds, metadata, tags } from '../support/kms-truth.ts';
import { createKey, startKms } from '../support/local-kms.ts';
import { eventually, startService } from '../support/service.ts';

const json = { 'content-type': 'application/x-amz-json-1.1' };

test("an answer of another call never has a record take another's key, and a list in a circle ends", async (t) => {
  const kms = await startKms(t);
  const gateway = await startGateway(t, kms.url);
  const quick = { KMS_ENDPOINT: gateway.url, WRITE_DEADLINE_SECONDS: '6', SETTLE_SECONDS: '1' };
  const { call } = await startService(t, quick);
  const inSync = (id: string) =>
    eventually(`${id} is in sync`, async () => {
      const { body } = await call('GET', `/v1/keys/${id}`);
      return body.status?.state === 'in_sync' && body;
    });
  const foreign = await createKey(kms.kms, { Description: "somebody else's" });
  const ofForeign = JSON.stringify({ KeyMetadata: { ...foreign, CreationDate: foreign.CreationDate?.getTime() } });

  await t.test('DescribeKey', async (t) => {
    const { body: key } = await call('POST', '/v1/keys', { description: 'before' });
    gateway.answer({ operation: 'DescribeKey', saying: key.key_id ?? '', headers: json, body: ofForeign });
    await call('PATCH', `/v1/keys/${key.id}`, { description: 'after', tags: { changed: 'yes' } });
    const { key_id } = await inSync(key.id);
    t.equal(gateway.left(), 0);
    t.equal(key_id, key.key_id, 'the record has its key');
    t.equal((await metadata(kms.kms, key.key_id ?? '')).Description, 'after');
    t.equal((await metadata(kms.kms, foreign.KeyId)).Description, "somebody else's");
    t.same(await tags(kms.kms, foreign.KeyId), {}, 'nothing of the other key was changed');
  });

  await t.test('CreateKey', async (t) => {
    const isCarriedOut = true;
    gateway.answer({ operation: 'CreateKey', saying: '"mine"', isCarriedOut, headers: json, body: ofForeign });
    const { body } = await call('POST', '/v1/keys', { description: 'mine' }, { prefer: 'respond-async' });
    const { id, key_id } = await inSync(body.id);
    t.equal((await tags(kms.kms, key_id ?? ''))['keyward:id'], id, 'it has the key that was made for it');
    t.same(await tags(kms.kms, foreign.KeyId), {}, 'nothing of the other key was changed');
  });

  await t.test('ListKeys', async (t) => {
    await kms.kms.send(new CreateKeyCommand({}));
    const before = (await allKeyIds(kms.kms)).length;
    const { Keys } = await kms.kms.send(new ListKeysCommand({}));
    const circle = JSON.stringify({ Keys, Truncated: true, NextMarker: 'again' });
    gateway.answer({ operation: 'ListKeys', times: Number.POSITIVE_INFINITY, headers: json, body: circle });
    gateway.answer({ operation: 'CreateKey', isCarriedOut: true, status: 502, body: 'Sorry' });
    const { body } = await call('POST', '/v1/keys', {}, { prefer: 'respond-async' });
    const { status } = await eventually('it says what is wrong', async () => {
      const told = await call('GET', `/v1/keys/${body.id}`);
      return told.body.status.error?.code === 'UnusableAnswer' && told.body;
    });
    t.match(status.error, { operation: 'ListKeys', retryable: true, message: /a marker that it had given before/ });
    gateway.clear();
    await call('POST', `/v1/keys/${body.id}/sync`);
    await inSync(body.id);
    t.equal((await allKeyIds(kms.kms)).length, before + 1, 'one key was made');
  });
});

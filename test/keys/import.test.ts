import {
  CreateAliasCommand,
  CreateKeyCommand,
  DisableKeyCommand,
  EnableKeyRotationCommand,
  ScheduleKeyDeletionCommand,
  TagResourceCommand,
} from '@aws-sdk/client-kms';
import { test } from 'tap';
import { sweepUnmanagedKeys } from '../../src/services/unmanaged/sweep.ts';
import { metadata, ownPolicy, policy, rotation, tags } from '../support/kms-truth.ts';
import { type Problem, startService } from '../support/service.ts';

test('POST /v1/keys/import', async (t) => {
  const { call, kms, control, services } = await startService(t);

  const makeOutside = async (name: string) => {
    const { KeyMetadata } = await kms.send(
      new CreateKeyCommand({
        Description: `made outside: ${name}`,
        Policy: JSON.stringify(ownPolicy('Outside')),
        Tags: [{ TagKey: 'team', TagValue: 'ops' }],
      }),
    );
    const KeyId = KeyMetadata?.KeyId ?? '';
    await kms.send(new EnableKeyRotationCommand({ KeyId, RotationPeriodInDays: 200 }));
    await kms.send(new DisableKeyCommand({ KeyId }));
    await kms.send(new CreateAliasCommand({ AliasName: `alias/${name}`, TargetKeyId: KeyId }));
    return { keyId: KeyId, arn: KeyMetadata?.Arn ?? '' };
  };

  t.test('by id, ARN, alias and alias ARN: the key as it is, and nothing changed but the ownership tag', async (t) => {
    const names = {
      id: (key: { keyId: string }) => key.keyId,
      arn: (key: { arn: string }) => key.arn,
      alias: () => 'alias/alias',
      aliasArn: (key: { arn: string }) => key.arn.replace(/key\/.*/, 'alias/aliasArn'),
    };
    for (const [name, given] of Object.entries(names)) {
      const outside = await makeOutside(name);
      const before = await metadata(kms, outside.keyId);
      await control.clear();
      const { status, headers, body: key } = await call('POST', '/v1/keys/import', { key_id: given(outside) });
      t.equal(status, 201, name);
      t.equal(headers.get('location'), `/v1/keys/${key.id}`);
      t.match(key, {
        arn: outside.arn,
        key_id: outside.keyId,
        description: `made outside: ${name}`,
        policy: ownPolicy('Outside'),
        is_enabled: false,
        enable_key_rotation: true,
        rotation_period_in_days: 200,
        tags: { team: 'ops' },
        tags_all: { team: 'ops' },
        status: { state: 'in_sync', generation: 1, synced_generation: 1, key_state: 'Disabled', drift: [] },
      });
      const writes = await control.calls();
      t.same(
        writes.map(({ operation, parameters }) => [operation, parameters['Tags']]),
        [['TagResource', [{ TagKey: 'keyward:id', TagValue: key.id }]]],
      );
      t.same(await metadata(kms, outside.keyId), before);
      t.same(await policy(kms, outside.keyId), ownPolicy('Outside'));
      t.same(await rotation(kms, outside.keyId), { enabled: true, period: 200 });
      t.same(await tags(kms, outside.keyId), { team: 'ops', 'keyward:id': key.id });
    }
  });

  t.test('an imported key can be changed like any other', async (t) => {
    const { keyId } = await makeOutside('change');
    const { body } = await call('POST', '/v1/keys/import', { key_id: keyId, provider: null });
    t.equal((await call('PATCH', `/v1/keys/${body.id}`, { is_enabled: true })).status, 200);
    t.equal((await metadata(kms, keyId)).KeyState, 'Enabled');
  });

  t.test('404 when KMS has no such key', async (t) => {
    for (const key_id of [
      '1234abcd-12ab-34cd-56ef-1234567890ab',
      'nonsense',
      'alias/nowhere',
      'arn:aws:kms:us-east-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab',
    ]) {
      t.equal((await call<Problem>('POST', '/v1/keys/import', { key_id })).status, 404, key_id);
    }
  });

  t.test('409 when it is managed already, with the id', async (t) => {
    const { body: key } = await call('POST', '/v1/keys', {});
    const { status, body } = await call<Problem>('POST', '/v1/keys/import', { key_id: key.arn });
    t.equal(status, 409);
    t.equal(body.id, key.id);
  });

  t.test('two imports of one key at once: one gets it', async (t) => {
    const { keyId } = await makeOutside('twice');
    const answers = await Promise.all([1, 2, 3].map(() => call<Problem>('POST', '/v1/keys/import', { key_id: keyId })));
    t.same(answers.map(({ status }) => status).sort(), [201, 409, 409]);
  });

  t.test('422 for an AWS managed key and for a key pending deletion', async (t) => {
    const { keyId } = await makeOutside('pending');
    await kms.send(new ScheduleKeyDeletionCommand({ KeyId: keyId, PendingWindowInDays: 7 }));
    await control.clear();
    for (const [key_id, reason] of [
      ['alias/aws/s3', /AWS managed/],
      [keyId, /pending deletion/],
    ] as const) {
      const { status, body } = await call<Problem>('POST', '/v1/keys/import', { key_id });
      t.equal(status, 422);
      t.equal(body.errors?.[0]?.pointer, '/key_id');
      t.match(body.errors?.[0]?.detail, reason);
    }
    t.same(await control.calls(), []);
  });

  t.test('422 for a key that KMS shows and that is of another account or Region than the provider', async (t) => {
    const { keyId, arn } = await makeOutside('elsewhere');
    for (const foreign of [arn.replace('111122223333', '444455556666'), arn.replace('us-east-1', 'eu-west-1')]) {
      for (const key_id of [keyId, 'alias/elsewhere']) {
        await control.fault({
          operation: 'DescribeKey',
          kind: 'changed_field',
          member: 'KeyMetadata.Arn',
          value: foreign,
        });
        const { status, body } = await call<Problem>('POST', '/v1/keys/import', { key_id });
        t.equal(status, 422);
        t.match(body.errors?.[0], { pointer: '/key_id', detail: new RegExp(`${foreign}.*the provider is for`) });
      }
      const KeyArn = foreign;
      await control.fault({
        operation: 'ListKeys',
        kind: 'changed_field',
        member: 'Keys',
        value: [{ KeyId: keyId, KeyArn }],
      });
      await sweepUnmanagedKeys(services);
      t.same((await call<{ items: unknown[] }>('GET', '/v1/unmanaged-keys')).body.items, []);
    }
    const { body: list } = await call<{ items: { arn: string }[] }>('GET', '/v1/keys');
    t.notOk(
      list.items.some((key) => key.arn.endsWith(keyId)),
      'nothing was recorded',
    );
  });

  t.test('422 when there is no room for the ownership tag', async (t) => {
    const { keyId } = await makeOutside('full');
    const Tags = Array.from({ length: 49 }, (_, index) => ({ TagKey: `tag${index}`, TagValue: 'x' }));
    await kms.send(new TagResourceCommand({ KeyId: keyId, Tags }));
    t.equal((await call<Problem>('POST', '/v1/keys/import', { key_id: keyId })).status, 422);
  });

  t.test('422 and no record when KMS refuses the ownership tag', async (t) => {
    const { keyId } = await makeOutside('denied');
    await control.fault({ operation: 'TagResource', kind: 'error', type: 'ValidationException', message: 'No.' });
    const { status, body } = await call<Problem>('POST', '/v1/keys/import', { key_id: keyId });
    t.equal(status, 422);
    t.equal(body.kms_error?.operation, 'TagResource');
    t.equal((await call('GET', `/v1/keys/${body.id}`)).status, 404);
    t.equal((await call('POST', '/v1/keys/import', { key_id: keyId })).status, 201, 'and it can be tried again');
  });

  t.test('a key released and imported again; one that carries a lost record keeps its id', async (t) => {
    const { body: key } = await call('POST', '/v1/keys', { description: 'again' });
    await call('POST', `/v1/keys/${key.id}/release`);
    const id = '01980e6c-aaaa-7000-8000-000000000001';
    await kms.send(new TagResourceCommand({ KeyId: key.key_id ?? '', Tags: [{ TagKey: 'keyward:id', TagValue: id }] }));
    await control.clear();
    const { status, body } = await call('POST', '/v1/keys/import', { key_id: key.key_id });
    t.equal(status, 201);
    t.equal(body.id, id);
    t.same(await control.calls(), [], 'not even the tag had to be written');
  });

  t.test('malformed bodies', async (t) => {
    t.equal((await call('POST', '/v1/keys/import', {})).status, 422);
    t.equal((await call('POST', '/v1/keys/import', { key_id: '' })).status, 422);
    t.equal((await call('POST', '/v1/keys/import', { key_id: 'x', provider: 'nowhere' })).status, 422);
    t.equal((await call('POST', '/v1/keys/import', { key_id: 'x', also: 1 })).status, 422);
    t.equal((await call('POST', '/v1/keys/import')).status, 400);
  });
});

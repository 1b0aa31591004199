import {
  CreateAliasCommand,
  DeleteAliasCommand,
  DescribeKeyCommand,
  type KMSClient,
  ListAliasesCommand,
  UpdateAliasCommand,
} from '@aws-sdk/client-kms';
import { test } from 'tap';
import { createKey } from '../support/local-kms.ts';
import { startService } from '../support/service.ts';

/** The names of a key, as KMS has them. */
async function namesOf(kms: KMSClient, KeyId: string): Promise<string[]> {
  const { Aliases = [] } = await kms.send(new ListAliasesCommand({ KeyId }));
  return Aliases.map(({ AliasName }) => AliasName ?? '').sort();
}

async function targetOf(kms: KMSClient, name: string): Promise<string | undefined> {
  return (await kms.send(new DescribeKeyCommand({ KeyId: name }))).KeyMetadata?.KeyId;
}

const reads = ['DescribeKey', 'GetKeyPolicy', 'GetKeyRotationStatus', 'ListAliases', 'ListResourceTags'];

test('aliases of a key', async (t) => {
  const { call, kms, control } = await startService(t, { SETTLE_SECONDS: '0' });
  const create = async (body: object) => {
    const { status, body: key } = await call('POST', '/v1/keys', body);
    t.equal(status, 201);
    return { ...key, key_id: key.key_id ?? '', at: `/v1/keys/${key.id}` };
  };
  const operations = async () => (await control.calls()).map(({ operation }) => operation);
  const writes = async () => (await operations()).filter((operation) => !reads.includes(operation));

  t.test('are made right after it, changed by name, and not read where they are not managed', async (t) => {
    await control.clear();
    const key = await create({ aliases: ['alias/b', 'alias/a'], enable_key_rotation: true });
    t.match(key, { aliases: ['alias/b', 'alias/a'], status: { aliases: ['alias/a', 'alias/b'], state: 'in_sync' } });
    t.same(await writes(), ['CreateKey', 'CreateAlias', 'CreateAlias', 'EnableKeyRotation']);
    t.same(await namesOf(kms, key.key_id), ['alias/a', 'alias/b']);

    await control.clear();
    const same = await call('PATCH', key.at, { aliases: ['alias/a', 'alias/b'] });
    t.match(same, { status: 200, body: { status: { generation: 1 } } }, 'in another order they are the same');
    t.same(await operations(), []);

    const changed = await call('PATCH', key.at, { aliases: ['alias/b', 'alias/c'] });
    t.match(changed, { status: 200, body: { aliases: ['alias/b', 'alias/c'] } });
    t.same(await writes(), ['DeleteAlias', 'CreateAlias']);
    t.same(await namesOf(kms, key.key_id), ['alias/b', 'alias/c']);

    const left = await call('PATCH', key.at, { aliases: null });
    t.match(left, { status: 200, body: { aliases: null, status: { aliases: null } } });
    t.same(await namesOf(kms, key.key_id), ['alias/b', 'alias/c'], 'null leaves them');
    await control.clear();
    await call('POST', `${key.at}/refresh`);
    t.notOk((await operations()).includes('ListAliases'), 'and asks for none');
    t.match(await call('PATCH', key.at, { aliases: [] }), { status: 200, body: { status: { aliases: [] } } });
    t.same(await namesOf(kms, key.key_id), [], 'an empty list takes them away');
  });

  t.test('that break a rule are told by their place', async (t) => {
    const wrong = [['payments'], ['alias/aws/s3'], ['alias/a b'], ['alias/a', 'alias/a'], 'alias/a'];
    const pointers = ['/aliases/0', '/aliases/0', '/aliases/0', '/aliases', '/aliases'];
    for (const [index, aliases] of wrong.entries()) {
      const { status, body } = await call('POST', '/v1/keys', { aliases });
      t.equal(status, 422);
      t.match(body, { errors: [{ pointer: pointers[index] }] }, JSON.stringify(aliases));
    }
  });

  t.test('that somebody changes are drift by name, which is put right, told, or adopted', async (t) => {
    const other = (await createKey(kms)).KeyId;
    const disturb = async (key: { key_id: string }, name: string) => {
      await kms.send(new DeleteAliasCommand({ AliasName: `alias/${name}/gone` }));
      await kms.send(new UpdateAliasCommand({ AliasName: `alias/${name}/moved`, TargetKeyId: other }));
      await kms.send(new CreateAliasCommand({ AliasName: `alias/${name}/extra`, TargetKeyId: key.key_id }));
    };
    for (const drift_policy of ['report', 'enforce', 'adopt']) {
      const names = ['gone', 'moved', 'kept'].map((name) => `alias/${drift_policy}/${name}`);
      const key = await create({ drift_policy, aliases: names });
      await disturb(key, drift_policy);
      const { body } = await call('POST', `${key.at}/refresh`);
      const field = (name: string) => `aliases.alias/${drift_policy}/${name}`;
      t.match(body.status.drift, [
        { field: field('extra'), desired: null, observed: key.key_id },
        { field: field('gone'), desired: key.key_id, observed: null },
        { field: field('moved'), desired: key.key_id, observed: other },
      ]);
      const held = names.toSorted();
      if (drift_policy === 'adopt') {
        await call('PATCH', key.at, { description: 'x', aliases: body.status.aliases });
      } else await call('POST', `${key.at}/sync`);
      const expected = drift_policy === 'adopt' ? [`alias/adopt/extra`, `alias/adopt/kept`] : held;
      const { body: after } = await call('POST', `${key.at}/refresh`);
      t.match(after, { status: { state: 'in_sync', drift: [], aliases: expected } });
      t.same(await namesOf(kms, key.key_id), expected, drift_policy);
    }
  });

  t.test('move to the key that takes the place of theirs', async (t) => {
    const key = await create({ aliases: ['alias/moves'] });
    await control.clear();
    const { status, body } = await call('POST', `${key.at}/replace`, { multi_region: true });
    t.equal(status, 200);
    t.not(body.key_id, key.key_id);
    t.equal(await targetOf(kms, 'alias/moves'), body.key_id);
    t.same(await writes(), ['CreateKey', 'UpdateAlias', 'ScheduleKeyDeletion']);
  });
});

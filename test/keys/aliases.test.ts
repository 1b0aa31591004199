import {
  CreateAliasCommand,
  DeleteAliasCommand,
  DescribeKeyCommand,
  type KMSClient,
  UpdateAliasCommand,
} from '@aws-sdk/client-kms';
import { test } from 'tap';
import { addToken, adminToken, callerWith, withTokens } from '../support/access.ts';
import { aliases as namesOf } from '../support/kms-truth.ts';
import { createKey } from '../support/local-kms.ts';
import { eventually, type Problem, startService } from '../support/service.ts';
import { type Configuration, readHcl } from '../support/terraform.ts';

async function targetOf(kms: KMSClient, name: string): Promise<string | undefined> {
  return (await kms.send(new DescribeKeyCommand({ KeyId: name }))).KeyMetadata?.KeyId;
}

const reads = ['DescribeKey', 'GetKeyPolicy', 'GetKeyRotationStatus', 'ListAliases', 'ListResourceTags'];

test('aliases of a key', async (t) => {
  const { call, url, kms, control } = await startService(t, { SETTLE_SECONDS: '0' });
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

  t.test('are resources of their own for Terraform', async (t) => {
    const key = await create({ aliases: ['alias/tf/1', 'alias/tf/2'] });
    await kms.send(new DeleteAliasCommand({ AliasName: 'alias/tf/2' }));
    await call('POST', `${key.at}/refresh`);
    const text = await (await fetch(`${url}${key.at}/terraform`)).text();
    const { import: imports = [], resource } = readHcl(text) as Configuration & {
      resource: { aws_kms_alias: Record<string, { name: string; target_key_id: string }[]> };
    };
    const resources = Object.entries(resource.aws_kms_alias);
    t.same(resources.map(([, [one]]) => one?.name).sort(), ['alias/tf/1', 'alias/tf/2']);
    t.match(resources[0]?.[1][0]?.target_key_id, /^\$\{aws_kms_key\..+\.key_id\}$/);
    t.same(imports.map(({ id }) => id).sort(), [key.key_id, 'alias/tf/1'].sort(), 'what KMS does not have is made');
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
      const found = async (name: string) => {
        const query = `alias=${encodeURIComponent(`alias/${drift_policy}/${name}`)}`;
        const { items } = (await call<{ items: { id: string }[] }>('GET', `/v1/keys?${query}`)).body;
        const { total } = (await call<{ total: number }>('GET', `/v1/keys/summary?${query}`)).body;
        t.equal(total, items.length);
        return items.map(({ id }) => id);
      };
      t.same(await found('gone'), [key.id], 'found by what is declared');
      t.same(await found('extra'), [key.id], 'and by what was seen');
      t.same(await found('none'), []);
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

  t.test('are there once, whatever answer is lost', async (t) => {
    const key = await create({ aliases: ['alias/lost/1'] });
    for (const operation of ['CreateAlias', 'DeleteAlias']) {
      for (const kind of ['reset_after_effect', 'reset_before_effect'] as const) {
        await control.fault({ operation, kind });
        const aliases = [`alias/lost/${operation}/${kind}`];
        t.match(await call('PATCH', key.at, { aliases }), { status: 200, body: { aliases } }, `${operation} ${kind}`);
        t.same(await namesOf(kms, key.key_id), aliases);
      }
    }
    await control.fault({ operation: 'UpdateAlias', kind: 'reset_after_effect' });
    const { status, body } = await call('POST', `${key.at}/replace`, { multi_region: true });
    t.equal(status, 200);
    t.same(await namesOf(kms, body.key_id ?? ''), body.aliases);
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

test('an alias that another key has', async (t) => {
  const { call, kms, control } = await startService(t, { SETTLE_SECONDS: '0' });
  const create = async (body: object, query = '') => {
    const { status, body: key } = await call('POST', `/v1/keys${query}`, body);
    t.equal(status, 201);
    return { ...key, key_id: key.key_id ?? '', at: `/v1/keys/${key.id}` };
  };
  const take = '?take_aliases=true';

  t.test('is refused with whose it is, before anything is made, and taken when that is asked for', async (t) => {
    const owner = await create({ aliases: ['alias/x', 'alias/y'], drift_policy: 'report' });
    const unmanaged = await createKey(kms);
    await kms.send(new CreateAliasCommand({ AliasName: 'alias/z', TargetKeyId: unmanaged.KeyId }));
    const { body: before } = await call<{ items: unknown[] }>('GET', '/v1/keys');
    const refused = await call('POST', '/v1/keys', { aliases: ['alias/new', 'alias/x', 'alias/z'] });
    t.match(refused, {
      status: 409,
      body: { detail: /take_aliases=true/, errors: [{ pointer: '/aliases/1' }, { pointer: '/aliases/2' }] },
    });
    t.match(JSON.stringify(refused.body), owner.id, 'the record');
    t.match(JSON.stringify(refused.body), unmanaged.Arn, 'or the ARN');
    t.equal((await call<{ items: unknown[] }>('GET', '/v1/keys')).body.items.length, before.items.length);

    const taker = await create({ aliases: ['alias/x', 'alias/z'], is_enabled: false }, take);
    t.same(taker.aliases_taken, [
      { alias: 'alias/x', id: owner.id, arn: owner.arn },
      { alias: 'alias/z', id: null, arn: unmanaged.Arn },
    ]);
    t.same(await namesOf(kms, taker.key_id), ['alias/x', 'alias/z']);
    t.same(await namesOf(kms, owner.key_id), ['alias/y']);
    const { body: loser } = await call('POST', `${owner.at}/refresh`);
    t.match(loser, { aliases: ['alias/y'], status: { state: 'in_sync', generation: 2, synced_generation: 2 } });
    const { body: events } = await call<{ items: { type: string; data: object; request_id: string }[] }>(
      'GET',
      `${owner.at}/events?limit=1&type=desired_state.changed`,
    );
    t.match(events.items[0]?.data, {
      origin: 'alias_taken',
      changes: { aliases: { before: ['alias/x', 'alias/y'], after: ['alias/y'] } },
    });

    const back = await call('PATCH', owner.at + take, { aliases: ['alias/x', 'alias/y'] });
    t.match(back, { status: 200, body: { aliases_taken: [{ alias: 'alias/x', id: taker.id }] } });
    t.equal(await targetOf(kms, 'alias/x'), owner.key_id);
    t.match((await call('POST', `${taker.at}/refresh`)).body, { aliases: ['alias/z'], status: { state: 'in_sync' } });
  });

  t.test('comes back to it when KMS refuses the change that took it', async (t) => {
    const owner = await create({ aliases: ['alias/back'] });
    const unmanaged = await createKey(kms);
    await kms.send(new CreateAliasCommand({ AliasName: 'alias/theirs', TargetKeyId: unmanaged.KeyId }));
    const taker = await create({ aliases: ['alias/own'] });
    const aliases = ['alias/own', 'alias/back', 'alias/theirs'];
    // What comes after they were moved.
    await control.fault({ operation: 'DisableKey', kind: 'error', type: 'ValidationException', message: 'no' });
    const refused = await call('PATCH', taker.at + take, { aliases, is_enabled: false });
    t.equal(refused.status, 422);
    t.equal(await targetOf(kms, 'alias/theirs'), unmanaged.KeyId);
    await eventually('it is declared of its owner again', async () => {
      const { body } = await call('GET', owner.at);
      return body.aliases?.[0] === 'alias/back' && body.status.state === 'in_sync';
    });
    t.equal(await targetOf(kms, 'alias/back'), owner.key_id);
    const policy = { Version: '2012-10-17', Statement: [] };
    const made = await call('POST', `/v1/keys${take}`, { aliases: ['alias/back', 'alias/theirs'], policy });
    t.equal(made.status, 422);
    await eventually('a refused create gives it back too', async () => {
      const { body } = await call('GET', owner.at);
      return body.aliases?.[0] === 'alias/back' && body.status.state === 'in_sync';
    });
    t.equal(await targetOf(kms, 'alias/back'), owner.key_id);
    t.equal(await targetOf(kms, 'alias/theirs'), unmanaged.KeyId);
  });

  t.test('stays with it when the key that took it is deleted before KMS has moved it', async (t) => {
    const owner = await create({ aliases: ['alias/kept'] });
    const taker = await create({ aliases: ['alias/its-own'] });
    await control.fault({ operation: 'UpdateAlias', kind: 'throttle', times: null });
    const aliases = ['alias/its-own', 'alias/kept'];
    t.equal((await call('PATCH', taker.at + take, { aliases }, { prefer: 'wait=0' })).status, 202);
    const deleted = await call('DELETE', taker.at);
    t.match(deleted, { status: 202, body: { aliases: ['alias/its-own'], status: { state: 'pending_deletion' } } });
    await control.clearFaults();
    t.equal((await call('POST', `${taker.at}/release`)).status, 204);
    t.match((await call('POST', `${owner.at}/sync`)).body, { aliases: ['alias/kept'], status: { state: 'in_sync' } });
    t.equal(await targetOf(kms, 'alias/kept'), owner.key_id);
  });

  t.test('is told by a plan', async (t) => {
    const owner = await create({ aliases: ['alias/planned'] });
    const wanted = { aliases: ['alias/planned'] };
    const refusals = [{ field: 'aliases', code: 'AliasTaken', detail: new RegExp(owner.id) }];
    t.match(await call('POST', '/v1/keys/plan', wanted), { status: 200, body: { refusals } });
    const other = await create({});
    t.match(await call('POST', `${other.at}/plan`, wanted), { status: 200, body: { refusals } });
  });

  t.test('is had by one of those that ask for it at once', async (t) => {
    const asked = await Promise.all(
      Array.from({ length: 6 }, () => call('POST', '/v1/keys?take_aliases=true', { aliases: ['alias/raced'] })),
    );
    const made = asked.filter(({ status }) => status === 201 || status === 202);
    t.ok(made.length > 0);
    t.ok(asked.every(({ status }) => [201, 202, 409].includes(status)));
    await eventually('one of them declares it, and has it', async () => {
      const keys = await Promise.all(made.map(async ({ body }) => (await call('GET', `/v1/keys/${body.id}`)).body));
      const declaring = keys.filter(({ aliases }) => aliases?.includes('alias/raced'));
      const target = await targetOf(kms, 'alias/raced');
      return (
        declaring.length === 1 &&
        declaring[0]?.key_id === target &&
        keys.every(({ status }) => status.state === 'in_sync')
      );
    });
  });

  t.test('can be had by a key of its own kind alone', async (t) => {
    await create({ aliases: ['alias/kind'] });
    const hmac = { key_usage: 'GENERATE_VERIFY_MAC', customer_master_key_spec: 'HMAC_256' };
    const { status, body } = await call('POST', `/v1/keys${take}`, { ...hmac, aliases: ['alias/kind'] });
    t.match({ status, body }, { status: 409, body: { detail: /one type/ } });
    const own = await create({ ...hmac, aliases: ['alias/mac'] });
    const symmetric = { key_usage: 'ENCRYPT_DECRYPT', customer_master_key_spec: 'SYMMETRIC_DEFAULT' };
    const replaced = await call('POST', `${own.at}/replace`, symmetric);
    t.match(replaced, { status: 422, body: { errors: [{ pointer: '/aliases' }] } });
  });
});

test('an alias is taken only from keys that the caller might change', async (t) => {
  const { url, kms } = await startService(t, { ...withTokens, SETTLE_SECONDS: '0' });
  const admin = callerWith(url, adminToken);
  const tags = { team: 'a' };
  const limited = callerWith(url, (await addToken(admin, { role: 'editor', tags })).token);
  const { body: theirs } = await admin('POST', '/v1/keys', { aliases: ['alias/theirs'], tags: { team: 'b' } });
  const outside = await createKey(kms);
  await kms.send(new CreateAliasCommand({ AliasName: 'alias/outside', TargetKeyId: outside.KeyId }));
  const told = new Set<string>();
  for (const [alias, secret] of Object.entries({ 'alias/theirs': theirs.id, 'alias/outside': `${outside.KeyId}` })) {
    for (const query of ['', '?take_aliases=true']) {
      const { status, body } = await limited('POST', `/v1/keys${query}`, { tags, aliases: [alias] });
      t.equal(status, 409);
      t.notMatch(JSON.stringify(body), secret, 'nor are they told whose it is');
      told.add(JSON.stringify((body as unknown as Problem).errors).replace(alias, ''));
    }
  }
  t.equal(told.size, 1, 'nor whether it has a record');
  await limited('POST', '/v1/keys', { tags, aliases: ['alias/ours'] });
  const taken = await limited('POST', '/v1/keys?take_aliases=true', { tags, aliases: ['alias/ours'] });
  t.match(taken, { status: 201, body: { aliases_taken: [{ alias: 'alias/ours' }] } });
  await admin('POST', '/v1/providers', { name: 'twin', region: 'us-east-1' });
  const twin = await admin('POST', '/v1/keys?take_aliases=true', { provider: 'twin', aliases: ['alias/theirs'] });
  t.match(twin, { status: 409, body: { detail: /provider default/ } }, 'no two records declare it in one KMS');
});

import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { CreateAliasCommand, CreateKeyCommand } from '@aws-sdk/client-kms';
import tap, { test } from 'tap';
import type { Key } from '../../src/schemas/key.ts';
import type { Provider, ProviderCheck } from '../../src/schemas/provider.ts';
import type { UnmanagedKeyList } from '../../src/schemas/unmanaged.ts';
import type { Services } from '../../src/services/context.ts';
import { sweepUnmanagedKeys } from '../../src/services/unmanaged/sweep.ts';
import { allKeyIds, metadata } from '../support/kms-truth.ts';
import { startKms } from '../support/local-kms.ts';
import { addProvider } from '../support/providers.ts';
import { type Call, caller, eventually, kmsClient, type Problem, startService } from '../support/service.ts';

// Each waits for retries most of the time.
tap.jobs = 3;

const own = '111122223333';
const other = '444455556666';
const role = `arn:aws:iam::${other}:role/keyward`;

/** The key, once its status tells what is wrong. */
async function untilTold(call: Call, { id }: Pick<Key, 'id'>): Promise<Key> {
  return eventually('the key tells', async () => {
    const { body } = await call('GET', `/v1/keys/${id}`);
    return body.status.error === null ? undefined : body;
  });
}

/** For as long as a busy machine may take. */
const patiently = { prefer: 'wait=60' };

test('keys of two accounts and three Regions in one service', { buffered: true }, async (t) => {
  const { call, kmsUrl, services } = await startService(t);
  const places = [own, other].flatMap((account) =>
    ['us-east-1', 'eu-west-1', 'ap-southeast-2'].map((region) => ({ account, region, name: `p-${account}-${region}` })),
  );
  for (const { account, region, name } of places) {
    const assume_role = account === own ? null : { role_arn: role, external_id: 'portal', session_name: null };
    await addProvider(call, { name, region, assume_role, allowed_account_ids: [account] });
  }
  await Promise.all(
    places.map(async ({ account, region, name }) => {
      const kms = kmsClient(kmsUrl, account, region);
      const { body: key, status } = await call('POST', '/v1/keys', { provider: name, description: name }, patiently);
      t.equal(status, 201, name);
      t.match(key.arn, new RegExp(`^arn:aws:kms:${region}:${account}:key/`));
      t.equal((await metadata(kms, key.key_id ?? '')).Description, name, 'it lands where its provider says');
      t.equal((await call('PATCH', `/v1/keys/${key.id}`, { description: 'changed' }, patiently)).status, 200);
      t.equal((await metadata(kms, key.key_id ?? '')).Description, 'changed');

      const { KeyMetadata } = await kms.send(new CreateKeyCommand({ Description: 'theirs' }));
      await kms.send(new CreateAliasCommand({ AliasName: 'alias/theirs', TargetKeyId: KeyMetadata?.KeyId ?? '' }));
      const elsewhere = places.find((place) => place.account !== account && place.region === region);
      const farther = places.find((place) => place.account === account && place.region !== region);
      for (const wrong of [elsewhere, farther]) {
        for (const key_id of [KeyMetadata?.Arn, `arn:aws:kms:${region}:${account}:alias/theirs`]) {
          const answer = await call<Problem>('POST', '/v1/keys/import', { provider: wrong?.name, key_id });
          t.equal(answer.status, 422);
          t.match(answer.body.errors, [{ pointer: '/key_id', detail: `account ${account}, Region ${region}` }]);
        }
      }
      const imported = await call('POST', '/v1/keys/import', { provider: name, key_id: 'alias/theirs' });
      t.match(imported, { status: 201, body: { arn: KeyMetadata?.Arn, provider: name, description: 'theirs' } });
    }),
  );
  const { body } = await call<{ items: object[] }>('GET', `/v1/keys?provider=p-${other}-eu-west-1`);
  t.equal(body.items.length, 2);
  const page = await readFile(path.resolve(import.meta.dirname, '../../docs/providers.md'), 'utf8');
  const example = JSON.parse(/-d '(\{[^']*\})'/.exec(page)?.[1] ?? '') as Provider;
  const { body: documented } = await call('POST', '/v1/keys', { provider: await addProvider(call, example) });
  t.match(
    documented,
    { arn: /:eu-west-1:444455556666:/, tags_all: { env: 'prod' } },
    'the example in docs/providers.md',
  );

  await addProvider(call, { name: 'twin', region: 'eu-west-1' });
  await sweepUnmanagedKeys(services);
  const unmanaged = await call<{ items: object[] }>('GET', '/v1/unmanaged-keys?provider=twin');
  t.same(unmanaged.body.items, [], 'a key that is managed under another provider of the account is no unmanaged one');
});

test('an answer of STS that is lost holds a change up no longer than a retry', { buffered: true }, async (t) => {
  const { call, control } = await startService(t);
  await control.fault({ operation: 'GetCallerIdentity', kind: 'internal_error', times: 3 });
  const provider = await addProvider(call, { name: 'lost', region: 'us-east-1', allowed_account_ids: [own] });
  const { status, body: key } = await call('POST', '/v1/keys', { provider }, { prefer: 'respond-async' });
  t.equal(status, 202);
  t.match((await untilTold(call, key)).status.error, { code: 'AccountNotAllowed' });
  await eventually(
    'it is asked again',
    async () => (await call('GET', `/v1/keys/${key.id}`)).body.arn !== null,
    30_000,
  );
});

/** As a change of the credentials themselves does: a PATCH would first look for the keys there. */
function leadElsewhere({ database }: Services, name: string, assume_role: object | null) {
  const value = assume_role === null ? null : JSON.stringify(assume_role);
  return database.pool.query('UPDATE providers SET assume_role = $2::jsonb WHERE name = $1', [name, value]);
}

test('a provider with keys is led nowhere where KMS has none of them', { buffered: true }, async (t) => {
  const { call, kmsUrl, control } = await startService(t, { SETTLE_SECONDS: '0' });
  await caller(kmsUrl)('PUT', '/_local/roles', { arn: role });
  const path = '/v1/providers/settled';
  await addProvider(call, { name: 'settled', region: 'us-east-1' });
  const assume_role = { role_arn: role, external_id: null, session_name: null };
  t.equal((await call('PATCH', path, { assume_role })).status, 200, 'one without keys goes anywhere');
  t.equal((await call('PATCH', path, { assume_role: null })).status, 200);
  const { body: key } = await call('POST', '/v1/keys', { provider: 'settled' });
  const refused = await call<Problem>('PATCH', path, { assume_role });
  t.match(refused, {
    status: 409,
    body: { detail: new RegExp(`does not find its key ${key.key_id}: nothing was changed`) },
  });
  t.match((await call<{ assume_role: null }>('GET', path)).body, { assume_role: null });
  t.equal((await call('PATCH', path, { endpoint: 'http://127.0.0.1:9' })).status, 503, 'nobody can tell');
  t.equal((await call('PATCH', path, { endpoint: kmsUrl })).status, 200, 'it is the same KMS');
  await control.clear();
  t.equal((await call('POST', `/v1/keys/${key.id}/refresh`)).body.status.error, null);
});

test('a provider that does not come to its account: its keys say so, the others go on, and it recovers by itself', {
  buffered: true,
}, async (t) => {
  const { call, kmsUrl, control, services } = await startService(t, { REFRESH_INTERVAL_SECONDS: '1' });
  const roles = (registered: object) => caller(kmsUrl)('PUT', '/_local/roles', { arn: role, ...registered });
  const assume_role = { role_arn: role, external_id: 'portal', session_name: null };
  await addProvider(call, { name: 'apart', region: 'us-east-1', assume_role, refresh_interval_seconds: 1 });

  t.test('the role wants another external id', async (t) => {
    t.equal((await roles({ trust: { external_id: 'secret' } })).status, 200);
    const { status, body } = await call('POST', '/v1/keys', { provider: 'apart' }, { prefer: 'wait=1' });
    t.equal(status, 202, 'it is recorded');
    const key = await untilTold(call, body);
    t.match(key.status, { state: 'creating', error: { code: 'CredentialsProviderError', retryable: true } });
    t.match(key.status.error?.message, /can't be assumed: AccessDenied/);
    t.equal((await call('POST', '/v1/keys', { description: 'another' })).status, 201, 'other providers go on');
    const { body: found } = await call<ProviderCheck>('POST', '/v1/providers/apart/check');
    t.match(found, { ok: false, account_id: null, error: { message: /AccessDenied/ }, permissions: [] });
    t.equal((await call('POST', '/v1/keys/import', { provider: 'apart', key_id: 'alias/x' })).status, 503);
    await sweepUnmanagedKeys(services);
    const { body: unmanaged } = await call<UnmanagedKeyList>('GET', '/v1/unmanaged-keys?provider=apart');
    t.match(unmanaged, { items: [], sweeps: [{ as_of: null, error: /AccessDenied/ }] });

    t.equal((await roles({ trust: { external_id: 'portal' } })).status, 200);
    const held = await eventually('the key is made', async () => {
      const { body } = await call('GET', `/v1/keys/${key.id}`);
      return body.status.state === 'in_sync' ? body : undefined;
    });
    t.match(held.arn, new RegExp(`:${other}:`));
    t.match((await call<ProviderCheck>('POST', '/v1/providers/apart/check')).body, {
      ok: true,
      account_id: other,
      caller_arn: `arn:aws:sts::${other}:assumed-role/keyward/keyward`,
      error: null,
    });
  });

  t.test('the account is not an allowed one: nothing is written', async (t) => {
    const wrong = { name: 'wrong', region: 'us-east-1', allowed_account_ids: ['777788889999'] };
    await addProvider(call, wrong);
    await control.clear();
    const { body } = await call('POST', '/v1/keys', { provider: 'wrong' }, { prefer: 'wait=1' });
    const key = await untilTold(call, body);
    t.match(key.status.error, {
      code: 'AccountNotAllowed',
      message: /of account 111122223333; it allows 777788889999 only/,
    });
    t.same(await control.calls(), []);
    const { body: found } = await call<ProviderCheck>('POST', '/v1/providers/wrong/check');
    t.match(found, { ok: false, account_id: own, error: { code: 'AccountNotAllowed' } });
    await call<Provider>('PATCH', '/v1/providers/wrong', { allowed_account_ids: [own] });
    await eventually(
      'the key is made',
      async () => (await call('GET', `/v1/keys/${key.id}`)).body.status.state === 'in_sync',
    );
  });

  t.test('the credentials lead to another account than the key is in: it is not taken for lost', async (t) => {
    const { body: key } = await call('POST', '/v1/keys', { provider: 'apart' });
    await leadElsewhere(services, 'apart', null);
    const confused = await untilTold(call, key);
    t.match(confused.status, { state: 'in_sync', error: { code: 'WrongAccountOrRegion', retryable: true } });
    t.equal((await call('POST', `/v1/keys/${key.id}/recreate`)).status, 409);
    await leadElsewhere(services, 'apart', assume_role);
    await eventually('it recovers', async () => (await call('GET', `/v1/keys/${key.id}`)).body.status.error === null);
  });

  t.test('they do so amid a replacement: the new key is not made there', async (t) => {
    const { body: old } = await call('POST', '/v1/keys', { provider: 'apart' });
    const get = async () => (await call('GET', `/v1/keys/${old.id}`)).body;
    await control.fault({ operation: 'CreateKey', kind: 'throttle', times: 3 });
    const ecc = { customer_master_key_spec: 'ECC_NIST_P256', key_usage: 'SIGN_VERIFY' };
    await call('POST', `/v1/keys/${old.id}/replace`, ecc, { prefer: 'respond-async' });
    await eventually('the record has let go of the old key', async () => (await get()).key_id === null);
    await leadElsewhere(services, 'apart', null);
    await eventually('the key tells', async () => (await get()).status.error?.code === 'WrongAccountOrRegion');
    t.equal((await get()).key_id, null);
    await leadElsewhere(services, 'apart', assume_role);
    const key = await eventually('it is replaced', async () => {
      const current = await get();
      return current.status.state === 'in_sync' && current.status.generation === 2 && current;
    });
    t.equal(key.arn?.split(':')[4], old.arn?.split(':')[4]);
  });
});

test('a CreateKey without an answer is looked for in the account that it was sent in, and nowhere else', {
  buffered: true,
}, async (t) => {
  const { call, kmsUrl, control } = await startService(t, { WRITE_DEADLINE_SECONDS: '6', SETTLE_SECONDS: '1' });
  await addProvider(call, { name: 'moving', region: 'us-east-1' });
  await control.fault({ operation: 'CreateKey', kind: 'reset_after_effect', times: 1 });
  // Else a search that began before could find the key when the provider has moved.
  await control.fault({ operation: 'ListKeys', kind: 'throttle', times: null });
  const { body: key } = await call('POST', '/v1/keys', { provider: 'moving' }, { prefer: 'wait=1' });
  const assume_role = { role_arn: role, external_id: null, session_name: null };
  await eventually('it is sent', async () =>
    (await control.calls()).some(({ operation }) => operation === 'CreateKey'),
  );
  await call('PATCH', '/v1/providers/moving', { assume_role });
  const astray = await eventually('the key tells', async () => {
    const { body } = await call('GET', `/v1/keys/${key.id}`);
    return body.status.error?.code === 'WrongAccountOrRegion' ? body : undefined;
  });
  t.match(astray.status.error?.message, /was sent in account 111122223333/);
  await control.clearFaults();
  await call('PATCH', '/v1/providers/moving', { assume_role: null });
  const held = await eventually('it is found', async () => {
    const { body } = await call('GET', `/v1/keys/${key.id}`);
    return body.status.state === 'in_sync' ? body : undefined;
  });
  t.same(await allKeyIds(kmsClient(kmsUrl, own)), [held.key_id]);
  t.same(await allKeyIds(kmsClient(kmsUrl, other)), []);
});

test('nor is it looked for anywhere while STS does not tell of which account the credentials are', {
  buffered: true,
}, async (t) => {
  const { call, kmsUrl, control } = await startService(t, { WRITE_DEADLINE_SECONDS: '6', SETTLE_SECONDS: '1' });
  await addProvider(call, { name: 'moving', region: 'us-east-1' });
  await control.fault(
    { operation: 'CreateKey', kind: 'reset_after_effect' },
    { operation: 'ListKeys', kind: 'throttle', times: null },
  );
  const { body: key } = await call('POST', '/v1/keys', { provider: 'moving' }, { prefer: 'wait=1' });
  await eventually('it is sent', async () =>
    (await control.calls()).some(({ operation }) => operation === 'CreateKey'),
  );
  // The role can be assumed all the same.
  await control.fault({ operation: 'GetCallerIdentity', kind: 'internal_error', times: null });
  const assume_role = { role_arn: role, external_id: null, session_name: null };
  await call('PATCH', '/v1/providers/moving', { assume_role });
  await eventually('the key tells', async () => {
    const { body } = await call('GET', `/v1/keys/${key.id}`);
    return body.status.error?.code === 'WrongAccountOrRegion';
  });
  await control.clearFaults();
  t.same(await allKeyIds(kmsClient(kmsUrl, other)), []);
});

test('a CreateKey without an answer is looked for at the endpoint that it was sent to, and at no other KMS', {
  buffered: true,
}, async (t) => {
  const { call, kmsUrl, control } = await startService(t, { WRITE_DEADLINE_SECONDS: '6', SETTLE_SECONDS: '1' });
  const elsewhere = await startKms(t);
  const here = { name: 'moving', region: 'us-east-1', endpoint: kmsUrl };
  await addProvider(call, here);
  const lose = async () => {
    await control.clear();
    await control.fault(
      { operation: 'CreateKey', kind: 'reset_after_effect' },
      { operation: 'ListKeys', kind: 'throttle', times: null },
    );
    const { body } = await call('POST', '/v1/keys', { provider: 'moving' }, { prefer: 'wait=1' });
    await eventually('it is sent', async () =>
      (await control.calls()).some(({ operation }) => operation === 'CreateKey'),
    );
    return body.id;
  };
  const isFound = (id: string) =>
    eventually('it is found', async () => {
      const { body } = await call('GET', `/v1/keys/${id}`);
      return body.status.state === 'in_sync' && body;
    });
  const first = await lose();
  t.equal((await call('PATCH', '/v1/providers/moving', { endpoint: elsewhere.url })).status, 200);
  const { status } = await eventually('the key tells', async () => {
    const { body } = await call('GET', `/v1/keys/${first}`);
    return body.status.error?.code === 'WrongAccountOrRegion' && body;
  });
  const [was, is] = [kmsUrl, elsewhere.url].map((url) => new URL(url).host);
  t.match(status.error?.message, `was sent to ${was}, and provider moving is at ${is} now`);
  await control.clearFaults();
  await call('PATCH', '/v1/providers/moving', { endpoint: kmsUrl });
  const made = await isFound(first);
  t.same(await allKeyIds(kmsClient(kmsUrl)), [made.key_id]);
  t.same(await allKeyIds(elsewhere.kms), []);

  // Another name of the same KMS, which shows the key that there is.
  const second = await lose();
  const renamed = new URL(kmsUrl);
  renamed.hostname = 'localhost';
  t.equal((await call('PATCH', '/v1/providers/moving', { endpoint: renamed.href })).status, 200);
  await control.clearFaults();
  const another = await isFound(second);
  t.same(new Set(await allKeyIds(kmsClient(kmsUrl))), new Set([made.key_id, another.key_id]));
});

test('a key of another account than the role is not taken for lost, though STS does not answer', {
  buffered: true,
}, async (t) => {
  const { call, control, services } = await startService(t, { SETTLE_SECONDS: '0' });
  await addProvider(call, { name: 'moving', region: 'us-east-1' });
  const { body: key } = await call('POST', '/v1/keys', { provider: 'moving' });
  await control.fault({ operation: 'GetCallerIdentity', kind: 'internal_error', times: null });
  const assume_role = { role_arn: role, external_id: null, session_name: null };
  await leadElsewhere(services, 'moving', assume_role);
  await call('POST', `/v1/keys/${key.id}/refresh`, undefined, { prefer: 'respond-async' });
  const { status } = await untilTold(call, key);
  t.match(status, { state: 'in_sync', error: { code: 'WrongAccountOrRegion', retryable: true } });
});

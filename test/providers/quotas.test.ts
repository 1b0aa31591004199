import { UpdateKeyDescriptionCommand } from '@aws-sdk/client-kms';
import { test } from 'tap';
import { standardQuotas } from '../../src/domain/request-quotas.ts';
import type { Provider } from '../../src/schemas/provider.ts';
import { startGateway } from '../support/gateway.ts';
import { startKms } from '../support/local-kms.ts';
import { addProvider } from '../support/providers.ts';
import { type Call, eventually, type Problem, startService } from '../support/service.ts';

const promptly = { prefer: 'respond-async' };
/** By it AWS's quotas give a CreateKey every minute or more. */
const hardlyAny = { QUOTA_SHARE: '0.003' };

const setQuotas = (call: Call, name: string, quotas: unknown) =>
  call<Provider>('PATCH', `/v1/providers/${name}`, { quotas });

/** Asks for keys. @returns what waits until all are made. */
async function askForKeys(call: Call, count: number, provider = 'default') {
  const asked = Array.from({ length: count }, () => call('POST', '/v1/keys', { provider }, promptly));
  for (const { status } of await Promise.all(asked)) if (status > 202) throw new Error(`POST /v1/keys: ${status}`);
  const summary = async () => {
    const { body } = await call<{ items: object[] }>('GET', `/v1/keys?provider=${provider}&state=in_sync&limit=200`);
    return body.items.length;
  };
  return { made: summary, all: () => eventually('all are made', async () => (await summary()) >= count) };
}

test('a quota that lets nothing through for years is no quota; one of long ago stops nobody from reading', async (t) => {
  const { call, services } = await startService(t);
  for (const CreateKey of [0, 5e-324, 0.009]) {
    const { status, body } = await call<Problem>('PATCH', '/v1/providers/default', {
      quotas: { requests_per_second: { CreateKey }, settle_seconds: null },
    });
    t.equal(status, 422);
    t.match(body.errors, [{ pointer: '/quotas/requests_per_second/CreateKey', code: 'out_of_range' }]);
  }
  await call('POST', '/v1/keys', {});
  const rates = Object.fromEntries(Object.keys(standardQuotas).map((operation) => [operation, 5e-324]));
  await services.database.pool.query('UPDATE providers SET quotas = $1', [
    JSON.stringify({ requests_per_second: rates, settle_seconds: null }),
  ]);
  const changed = await call<Provider>('PATCH', '/v1/providers/default', { default_tags: { env: 'prod' } });
  t.equal(changed.status, 200);
  t.equal((await call<Provider>('GET', '/v1/providers/default')).status, 200);
});

test("a KMS that is not AWS's, and says nothing of quotas, is held to none", async (t) => {
  const kms = await startKms(t);
  const gateway = await startGateway(t, kms.url);
  const { call } = await startService(t, { KMS_ENDPOINT: gateway.url, ...hardlyAny });
  t.equal((await call<Provider>('GET', '/v1/providers/default')).body.quotas, null, 'by the endpoint');
  await (await askForKeys(call, 60)).all();
});

test("a provider is held to AWS's quotas, to its own or to none, as it says, from one moment to the next", async (t) => {
  const { call } = await startService(t, hardlyAny);
  await addProvider(call, { name: 'aws', quotas: 'aws' });
  await addProvider(call, { name: 'own', quotas: { requests_per_second: { CreateKey: 1 }, settle_seconds: null } });
  await addProvider(call, { name: 'none', quotas: 'none' });
  const held = await askForKeys(call, 20, 'aws');
  const own = await askForKeys(call, 4, 'own');
  await (await askForKeys(call, 20, 'none')).all();
  t.ok((await held.made()) < 5, 'AWS takes five a second, of which hardly any are taken');
  t.ok((await own.made()) < 3, 'this one takes one a second');
  const key = await call('POST', '/v1/keys', { provider: 'own' }, { prefer: 'wait=1' });
  t.equal(key.status, 202);

  const faster = { requests_per_second: { CreateKey: 20_000 } };
  t.match(await setQuotas(call, 'own', faster), { status: 200, body: { quotas: faster } });
  await own.all();
  t.equal((await setQuotas(call, 'aws', 'none')).body.quotas, 'none');
  await held.all();
  const { body } = await call<{ items: object[] }>('GET', '/v1/events?provider=aws');
  t.match(body.items[0], { type: 'provider.updated', before: { quotas: 'aws' }, after: { quotas: 'none' } });
});

test('how long answers may be stale is for each provider to say', async (t) => {
  const { call, kms } = await startService(t, { SETTLE_SECONDS: '600' });
  await addProvider(call, { name: 'prompt', quotas: { requests_per_second: {}, settle_seconds: 0 } });
  for (const [provider, state] of [
    ['default', 'in_sync'],
    ['prompt', 'drifted'],
  ]) {
    const { body: key } = await call('POST', '/v1/keys', { provider, description: 'a', drift_policy: 'report' });
    t.equal((await call('PATCH', `/v1/keys/${key.id}`, { description: 'b' })).status, 200);
    await kms.send(new UpdateKeyDescriptionCommand({ KeyId: key.key_id ?? '', Description: 'a' }));
    const { body } = await call('POST', `/v1/keys/${key.id}/refresh`);
    t.equal(body.status.state, state, `${provider}: a read of what was there before the write`);
  }
});

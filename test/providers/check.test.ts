import { test } from 'tap';
import type { ProviderCheck } from '../../src/schemas/provider.ts';
import { startGateway } from '../support/gateway.ts';
import { allKeyIds } from '../support/kms-truth.ts';
import { startKms } from '../support/local-kms.ts';
import { startService } from '../support/service.ts';

const json = { 'content-type': 'application/x-amz-json-1.1' };
const times = Number.POSITIVE_INFINITY;

test('a check of a KMS that is not AWS', async (t) => {
  const { url, kms, control } = await startKms(t);
  const gateway = await startGateway(t, url);
  const { call } = await startService(t, { KMS_ENDPOINT: gateway.url, SETTLE_SECONDS: '0' });
  const check = async () => (await call<ProviderCheck>('POST', '/v1/providers/default/check')).body;
  const allowed = ({ permissions }: ProviderCheck, action: string) =>
    permissions.find((permission) => permission.action === action)?.allowed;

  await t.test('asks for no key that any KMS could make', async (t) => {
    await check();
    const created = (await control.calls()).filter(({ operation }) => operation === 'CreateKey');
    t.match(created, [{ parameters: { KeySpec: 'NONE', KeyUsage: 'NONE' } }], 'a spec and a usage that are none');
    t.same(await allKeyIds(kms), []);
  });
  await t.test('does not take an operation that is lacking for one that is allowed', async (t) => {
    const body = '{"__type":"InvalidAction","message":"What?"}';
    gateway.answer({ operation: 'ListKeyRotations', status: 400, headers: json, body, times });
    t.equal(allowed(await check(), 'kms:ListKeyRotations'), null);
    t.equal(allowed(await check(), 'kms:EnableKey'), true);
    gateway.clear();
  });
  await t.test('goes on where there is no STS, and says that the account is not known', async (t) => {
    gateway.answer({ operation: 'GetCallerIdentity', status: 404, body: '<html>Not here</html>', times });
    const found = await check();
    t.match(found, { ok: true, account_id: null, error: null });
    t.match(found.permissions[0], { action: 'sts:GetCallerIdentity', allowed: null });
    t.equal(allowed(found, 'kms:ListKeys'), true);
    gateway.clear();
  });
  await t.test('writes nothing to a KMS that has a key for every id', async (t) => {
    const { body: key } = await call('POST', '/v1/keys', {});
    const KeyMetadata = { KeyId: key.key_id, Arn: key.arn, KeyState: 'Enabled' };
    gateway.answer({
      operation: 'DescribeKey',
      status: 200,
      headers: json,
      body: JSON.stringify({ KeyMetadata }),
      times,
    });
    await control.clear();
    t.equal(allowed(await check(), 'kms:PutKeyPolicy'), null);
    t.same(
      (await control.calls()).map(({ operation }) => operation),
      ['CreateKey'],
    );
    gateway.clear();
  });
  await t.test('is no check where something else than KMS answers', async (t) => {
    gateway.answer({ operation: 'ListKeys', status: 200, body: '<html>', times });
    t.match(await check(), { ok: false, error: { code: 'NotKmsAnswer' }, permissions: [] });
  });
});

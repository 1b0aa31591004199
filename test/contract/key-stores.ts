import assert from 'node:assert/strict';
import {
  ConnectCustomKeyStoreCommand,
  CreateCustomKeyStoreCommand,
  DisconnectCustomKeyStoreCommand,
} from '@aws-sdk/client-kms';
import { allKeyIds, metadata } from '../support/kms-truth.ts';
import { type Context, create, problemOf, type Scenario } from './scenario.ts';

let made = 0;

async function makeStore({ kms }: Context, type: 'AWS_CLOUDHSM' | 'EXTERNAL_KEY_STORE', { connect = true } = {}) {
  made += 1;
  const number = String(made).padStart(4, '0');
  const { CustomKeyStoreId = '' } = await kms.send(
    new CreateCustomKeyStoreCommand({
      CustomKeyStoreName: `store ${number}`,
      CustomKeyStoreType: type,
      ...(type === 'AWS_CLOUDHSM'
        ? {
            CloudHsmClusterId: `cluster-abcdefg${number}`,
            TrustAnchorCertificate: 'certificate',
            KeyStorePassword: 'password',
          }
        : {
            XksProxyConnectivity: 'PUBLIC_ENDPOINT',
            XksProxyUriEndpoint: `https://proxy${number}.example.com`,
            XksProxyUriPath: '/kms/xks/v1',
            XksProxyAuthenticationCredential: {
              AccessKeyId: 'ABCDE12345670EXAMPLE',
              RawSecretAccessKey: 'x'.repeat(43),
            },
          }),
    }),
  );
  if (connect) await kms.send(new ConnectCustomKeyStoreCommand({ CustomKeyStoreId }));
  return CustomKeyStoreId;
}

/** Holds that a create is refused by KMS with this error, and leaves neither record nor key. */
async function refused({ call, kms }: Context, body: object, code: string) {
  const before = (await allKeyIds(kms)).length;
  const answer = await call('POST', '/v1/keys', body);
  assert.equal(answer.status, 422, JSON.stringify(answer.body));
  const { id, kms_error } = problemOf(answer);
  assert.equal(kms_error?.code, code);
  assert.equal((await call('GET', `/v1/keys/${id}`)).status, 404);
  assert.equal((await allKeyIds(kms)).length, before);
}

export const keyStoreScenarios: Scenario[] = [
  {
    name: 'key stores: a key in an AWS CloudHSM key store',
    run: async (context) => {
      const custom_key_store_id = await makeStore(context, 'AWS_CLOUDHSM');
      const key = await create(context, { custom_key_store_id, description: 'hsm', is_enabled: false });
      assert.equal(key.custom_key_store_id, custom_key_store_id);
      const held = await metadata(context.kms, key.key_id);
      assert.equal(held.Origin, 'AWS_CLOUDHSM');
      assert.equal(held.CustomKeyStoreId, custom_key_store_id);
      assert.equal(held.KeyState, 'Disabled');
    },
  },
  {
    name: 'key stores: a key in an external key store, and its external key a second time',
    run: async (context) => {
      const custom_key_store_id = await makeStore(context, 'EXTERNAL_KEY_STORE');
      const body = { custom_key_store_id, xks_key_id: 'external-1' };
      const key = await create(context, body);
      assert.equal(key.xks_key_id, 'external-1');
      const held = await metadata(context.kms, key.key_id);
      assert.equal(held.Origin, 'EXTERNAL_KEY_STORE');
      assert.equal(held.XksKeyConfiguration?.Id, 'external-1');
      await refused(context, body, 'XksKeyAlreadyInUseException');
    },
  },
  {
    name: 'key stores: an unknown store',
    run: (context) =>
      refused(context, { custom_key_store_id: 'cks-1234567890abcdef0' }, 'CustomKeyStoreNotFoundException'),
  },
  {
    name: 'key stores: a disconnected store',
    run: async (context) => {
      const custom_key_store_id = await makeStore(context, 'AWS_CLOUDHSM', { connect: false });
      await refused(context, { custom_key_store_id }, 'CustomKeyStoreInvalidStateException');
    },
  },
  {
    name: 'key stores: a key spec that a store refuses',
    run: async (context) => {
      const custom_key_store_id = 'cks-1234567890abcdef0';
      const body = { custom_key_store_id, customer_master_key_spec: 'RSA_2048', key_usage: 'SIGN_VERIFY' };
      const answer = await context.call('POST', '/v1/keys', body);
      assert.equal(answer.status, 422);
      assert.equal(problemOf(answer).errors?.[0]?.pointer, '/customer_master_key_spec');
    },
  },
  {
    name: 'key stores: a key is Unavailable while its store is disconnected, and well when it is back',
    run: async (context) => {
      const { call, kms } = context;
      const CustomKeyStoreId = await makeStore(context, 'AWS_CLOUDHSM');
      const { id } = await create(context, { custom_key_store_id: CustomKeyStoreId });
      await kms.send(new DisconnectCustomKeyStoreCommand({ CustomKeyStoreId }));
      const { body: away } = await call('POST', `/v1/keys/${id}/sync`);
      assert.equal(away.status.key_state, 'Unavailable');
      assert.deepEqual(
        away.status.drift.map(({ field, desired, observed }) => ({ field, desired, observed })),
        [{ field: 'key_state', desired: 'Enabled', observed: 'Unavailable' }],
      );
      await kms.send(new ConnectCustomKeyStoreCommand({ CustomKeyStoreId }));
      const { body: back } = await call('POST', `/v1/keys/${id}/refresh`);
      assert.equal(back.status.state, 'in_sync');
      assert.equal(back.status.key_state, 'Enabled');
    },
  },
];

import {
  ConnectCustomKeyStoreCommand,
  CreateCustomKeyStoreCommand,
  type CreateCustomKeyStoreCommandInput,
  CreateKeyCommand,
  DeleteCustomKeyStoreCommand,
  DescribeCustomKeyStoresCommand,
  DisableKeyCommand,
  DisconnectCustomKeyStoreCommand,
  EnableKeyRotationCommand,
  type KMSClient,
  ScheduleKeyDeletionCommand,
  UpdateCustomKeyStoreCommand,
} from '@aws-sdk/client-kms';
import { test } from 'tap';
import { describe, refuses, startKms } from '../support/local-kms.ts';

// kms-facts is silent on custom key stores; what is held here is the AWS KMS API reference, operation by operation.

const cloudHsm = (name: string, cluster = 'cluster-1a23b4cdefg'): CreateCustomKeyStoreCommandInput => ({
  CustomKeyStoreName: name,
  CloudHsmClusterId: cluster,
  TrustAnchorCertificate: 'certificate',
  KeyStorePassword: 'password',
});
const external = (name: string, path = '/kms/xks/v1'): CreateCustomKeyStoreCommandInput => ({
  CustomKeyStoreName: name,
  CustomKeyStoreType: 'EXTERNAL_KEY_STORE',
  XksProxyConnectivity: 'PUBLIC_ENDPOINT',
  XksProxyUriEndpoint: 'https://proxy.example.com',
  XksProxyUriPath: path,
  XksProxyAuthenticationCredential: { AccessKeyId: 'ABCDE12345670EXAMPLE', RawSecretAccessKey: 'x'.repeat(43) },
});

async function makeStore(kms: KMSClient, input: CreateCustomKeyStoreCommandInput, { connect = true } = {}) {
  const { CustomKeyStoreId = '' } = await kms.send(new CreateCustomKeyStoreCommand(input));
  if (connect) await kms.send(new ConnectCustomKeyStoreCommand({ CustomKeyStoreId }));
  return CustomKeyStoreId;
}

test('a custom key store: made, found, connected, renamed, disconnected, deleted', async (t) => {
  const { kms } = await startKms(t);
  const id = await makeStore(kms, cloudHsm('mine'), { connect: false });
  t.match(id, /^cks-[0-9a-f]{17}$/);
  const find = async () => {
    const { CustomKeyStores = [] } = await kms.send(new DescribeCustomKeyStoresCommand({ CustomKeyStoreId: id }));
    return CustomKeyStores[0];
  };
  t.match(await find(), {
    CustomKeyStoreId: id,
    CustomKeyStoreName: 'mine',
    CustomKeyStoreType: 'AWS_CLOUDHSM',
    CloudHsmClusterId: 'cluster-1a23b4cdefg',
    TrustAnchorCertificate: 'certificate',
    ConnectionState: 'DISCONNECTED',
  });
  const state = 'CustomKeyStoreInvalidStateException';
  await refuses(t, kms.send(new DisconnectCustomKeyStoreCommand({ CustomKeyStoreId: id })), state);
  await kms.send(new ConnectCustomKeyStoreCommand({ CustomKeyStoreId: id }));
  t.equal((await find())?.ConnectionState, 'CONNECTED');
  await refuses(t, kms.send(new ConnectCustomKeyStoreCommand({ CustomKeyStoreId: id })), state);
  await refuses(t, kms.send(new DeleteCustomKeyStoreCommand({ CustomKeyStoreId: id })), state);
  const password = { CustomKeyStoreId: id, KeyStorePassword: 'password2' };
  await refuses(t, kms.send(new UpdateCustomKeyStoreCommand(password)), state);
  await kms.send(new UpdateCustomKeyStoreCommand({ CustomKeyStoreId: id, NewCustomKeyStoreName: 'ours' }));
  t.equal((await find())?.CustomKeyStoreName, 'ours');
  await kms.send(new DisconnectCustomKeyStoreCommand({ CustomKeyStoreId: id }));
  await kms.send(new UpdateCustomKeyStoreCommand(password));
  await kms.send(new DeleteCustomKeyStoreCommand({ CustomKeyStoreId: id }));
  const gone = 'CustomKeyStoreNotFoundException';
  await refuses(t, kms.send(new DescribeCustomKeyStoresCommand({ CustomKeyStoreId: id })), gone);
  await refuses(t, kms.send(new DescribeCustomKeyStoresCommand({ CustomKeyStoreName: 'ours' })), gone);
  await refuses(t, kms.send(new ConnectCustomKeyStoreCommand({ CustomKeyStoreId: id })), gone);
});

test('what a custom key store may not be', async (t) => {
  const { kms } = await startKms(t);
  await makeStore(kms, cloudHsm('mine'));
  await makeStore(kms, external('outside'));
  const make = (input: CreateCustomKeyStoreCommandInput) => kms.send(new CreateCustomKeyStoreCommand(input));
  await refuses(t, make(cloudHsm('mine', 'cluster-2a23b4cdefg')), 'CustomKeyStoreNameInUseException');
  await refuses(t, make(cloudHsm('other')), 'CloudHsmClusterInUseException');
  await refuses(t, make(external('other')), 'XksProxyUriInUseException');
  await refuses(t, make({ CustomKeyStoreName: 'incomplete' }), 'ValidationException');
  await refuses(
    t,
    make({ ...external('plain', '/a/kms/xks/v1'), XksProxyUriEndpoint: 'http://a.example' }),
    'ValidationException',
  );
  const { CustomKeyStores = [] } = await kms.send(
    new DescribeCustomKeyStoresCommand({ CustomKeyStoreName: 'outside' }),
  );
  t.strictSame(CustomKeyStores[0]?.XksProxyConfiguration, {
    Connectivity: 'PUBLIC_ENDPOINT',
    AccessKeyId: 'ABCDE12345670EXAMPLE',
    UriEndpoint: 'https://proxy.example.com',
    UriPath: '/kms/xks/v1',
  });
});

test('a key in each kind of store', async (t) => {
  const { kms, create } = await startKms(t);
  const hsm = await makeStore(kms, cloudHsm('hsm'));
  const outside = await makeStore(kms, external('outside'));
  const inHsm = await create({ Origin: 'AWS_CLOUDHSM', CustomKeyStoreId: hsm });
  t.match(inHsm, { CustomKeyStoreId: hsm, CloudHsmClusterId: 'cluster-1a23b4cdefg', Origin: 'AWS_CLOUDHSM' });
  t.notOk('CurrentKeyMaterialId' in inHsm);
  const inOutside = await create({ Origin: 'EXTERNAL_KEY_STORE', CustomKeyStoreId: outside, XksKeyId: 'key-1' });
  t.match(inOutside, { CustomKeyStoreId: outside, XksKeyConfiguration: { Id: 'key-1' }, Origin: 'EXTERNAL_KEY_STORE' });
  for (const { KeyId } of [inHsm, inOutside]) {
    await refuses(t, kms.send(new EnableKeyRotationCommand({ KeyId })), 'UnsupportedOperationException');
  }

  t.test('refusals', async (t) => {
    const unconnected = await makeStore(kms, cloudHsm('off', 'cluster-2a23b4cdefg'), { connect: false });
    const make = (input: object) => kms.send(new CreateKeyCommand(input));
    const hsmKey = { Origin: 'AWS_CLOUDHSM', CustomKeyStoreId: hsm };
    const outsideKey = { Origin: 'EXTERNAL_KEY_STORE', CustomKeyStoreId: outside };
    const cases: [input: object, error: string][] = [
      [{ ...hsmKey, CustomKeyStoreId: 'cks-1234567890abcdef0' }, 'CustomKeyStoreNotFoundException'],
      [{ ...hsmKey, CustomKeyStoreId: unconnected }, 'CustomKeyStoreInvalidStateException'],
      [{ ...hsmKey, KeySpec: 'RSA_2048', KeyUsage: 'SIGN_VERIFY' }, 'UnsupportedOperationException'],
      [{ ...hsmKey, MultiRegion: true }, 'UnsupportedOperationException'],
      [{ ...hsmKey, XksKeyId: 'key-2' }, 'ValidationException'],
      [{ ...hsmKey, Origin: 'EXTERNAL_KEY_STORE', XksKeyId: 'key-2' }, 'ValidationException'],
      [{ CustomKeyStoreId: hsm }, 'ValidationException'],
      [{ Origin: 'AWS_CLOUDHSM' }, 'ValidationException'],
      [outsideKey, 'ValidationException'],
      [{ ...outsideKey, XksKeyId: 'key-1' }, 'XksKeyAlreadyInUseException'],
      [{ ...outsideKey, XksKeyId: 'missing-key' }, 'XksKeyNotFoundException'],
      [{ ...outsideKey, XksKeyId: 'unusable-key' }, 'XksKeyInvalidConfigurationException'],
    ];
    for (const [input, error] of cases) await refuses(t, make(input), error);
  });

  t.test('keys are Unavailable while their store is disconnected', async (t) => {
    const { KeyId } = inHsm;
    const doomed = await create({ Origin: 'AWS_CLOUDHSM', CustomKeyStoreId: hsm });
    await kms.send(new ScheduleKeyDeletionCommand({ KeyId: doomed.KeyId }));
    await kms.send(new DisconnectCustomKeyStoreCommand({ CustomKeyStoreId: hsm }));
    t.match(await describe(kms, KeyId), { KeyState: 'Unavailable', Enabled: false });
    t.equal((await describe(kms, doomed.KeyId)).KeyState, 'PendingDeletion', 'developer guide, key states, note 13');
    // Developer guide, key states, note 12: the operation succeeds, the state shows once the key is available.
    await kms.send(new DisableKeyCommand({ KeyId }));
    t.equal((await describe(kms, KeyId)).KeyState, 'Unavailable');
    await kms.send(new ConnectCustomKeyStoreCommand({ CustomKeyStoreId: hsm }));
    t.equal((await describe(kms, KeyId)).KeyState, 'Disabled');
    const occupied = kms.send(new DeleteCustomKeyStoreCommand({ CustomKeyStoreId: hsm }));
    await refuses(t, occupied, 'CustomKeyStoreHasCMKsException');
  });
});

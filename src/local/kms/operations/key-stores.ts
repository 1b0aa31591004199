/**
 * Custom key stores of both kinds, with no cluster and no proxy behind them: any cluster id, certificate and proxy is
 * believed, and connecting takes no time. Source: AWS KMS API reference; its words for errors where it has some.
 */
import { randomBytes } from 'node:crypto';
import { inSeconds } from '../clock.ts';
import { type Context, emptyAnswer, type Operation } from '../context.ts';
import { KmsError, validation } from '../errors.ts';
import { page } from '../pages.ts';
import { optionalOneOf, optionalString, type Parameters, requiredString } from '../parameters.ts';
import type { StoredKeyStore } from '../store.ts';

const types = ['AWS_CLOUDHSM', 'EXTERNAL_KEY_STORE'] as const;
const connectivities = ['PUBLIC_ENDPOINT', 'VPC_ENDPOINT_SERVICE'] as const;
/** Account and Region have few of them. */
const all = 1000;

/** @throws KmsError CustomKeyStoreNotFoundException, CustomKeyStoreInvalidStateException */
export function findConnectedStore(context: Context, id: string): StoredKeyStore {
  const store = findStore(context, id);
  if (!store.isConnected) throw invalidStoreState(store, 'CONNECTED');
  return store;
}

/** @throws KmsError CustomKeyStoreNotFoundException */
export function findStore({ store, caller }: Context, id: string): StoredKeyStore {
  const found = store.listKeyStores(caller, '', all).find((candidate) => candidate.id === id);
  if (found !== undefined) return found;
  throw new KmsError('CustomKeyStoreNotFoundException', `Custom key store ${id} does not exist`);
}

function invalidStoreState({ id, isConnected }: StoredKeyStore, wanted: string): KmsError {
  const state = isConnected ? 'CONNECTED' : 'DISCONNECTED';
  const message = `The ConnectionState of custom key store ${id} is ${state}; the operation needs it to be ${wanted}`;
  return new KmsError('CustomKeyStoreInvalidStateException', message);
}

function namedStore(context: Context, parameters: Parameters): StoredKeyStore {
  return findStore(context, requiredString(parameters, 'CustomKeyStoreId', { min: 1, max: 64 }));
}

const createCustomKeyStore: Operation = (context, parameters) => {
  const { store, caller, clock } = context;
  const name = requiredString(parameters, 'CustomKeyStoreName', { min: 1, max: 256 });
  const type = optionalOneOf(parameters, 'CustomKeyStoreType', types) ?? 'AWS_CLOUDHSM';
  assertNameIsFree(context, name);
  const keyStore: StoredKeyStore = {
    account: caller.account,
    region: caller.region,
    id: `cks-${randomBytes(9).toString('hex').slice(0, 17)}`,
    name,
    type,
    isConnected: false,
    createdAt: clock.now(),
    cloudHsm: type === 'AWS_CLOUDHSM' ? cloudHsmOf(context, parameters) : null,
    xksProxy: type === 'EXTERNAL_KEY_STORE' ? xksProxyOf(context, parameters) : null,
  };
  store.saveKeyStore(keyStore);
  return { CustomKeyStoreId: keyStore.id };
};

function assertNameIsFree({ store, caller }: Context, name: string, ownId?: string): void {
  if (store.listKeyStores(caller, '', all).some((other) => other.name === name && other.id !== ownId)) {
    throw new KmsError('CustomKeyStoreNameInUseException', `The custom key store name ${name} is already in use`);
  }
}

function cloudHsmOf({ store, caller }: Context, parameters: Parameters): StoredKeyStore['cloudHsm'] {
  const clusterId = requiredString(parameters, 'CloudHsmClusterId', { min: 19, max: 24 });
  const trustAnchorCertificate = requiredString(parameters, 'TrustAnchorCertificate', { min: 1, max: 5000 });
  requiredString(parameters, 'KeyStorePassword', { min: 7, max: 32 });
  if (store.listKeyStores(caller, '', all).some(({ cloudHsm }) => cloudHsm?.clusterId === clusterId)) {
    const message = `The CloudHSM cluster ${clusterId} is already associated with a custom key store`;
    throw new KmsError('CloudHsmClusterInUseException', message);
  }
  return { clusterId, trustAnchorCertificate };
}

function xksProxyOf({ store, caller }: Context, parameters: Parameters): StoredKeyStore['xksProxy'] {
  const connectivity = optionalOneOf(parameters, 'XksProxyConnectivity', connectivities);
  if (connectivity === undefined) throw validation('You must specify XksProxyConnectivity for an external key store');
  const uriEndpoint = requiredString(parameters, 'XksProxyUriEndpoint', { min: 10, max: 128 });
  const uriPath = requiredString(parameters, 'XksProxyUriPath', { min: 10, max: 128 });
  if (!/^https:\/\/[A-Za-z0-9.-]+$/.test(uriEndpoint)) throw validation('XksProxyUriEndpoint must be an https:// URL');
  if (!/^\/(?:.+\/)?kms\/xks\/v[0-9]+$/.test(uriPath)) throw validation('XksProxyUriPath must end with /kms/xks/v1');
  const { AccessKeyId: accessKeyId } = (parameters['XksProxyAuthenticationCredential'] ?? {}) as Record<
    string,
    unknown
  >;
  if (typeof accessKeyId !== 'string') {
    throw validation('You must specify an XksProxyAuthenticationCredential for an external key store');
  }
  const others = store.listKeyStores(caller, '', all).map(({ xksProxy }) => xksProxy);
  if (others.some((other) => other?.uriEndpoint === uriEndpoint && other.uriPath === uriPath)) {
    const message = `${uriEndpoint}${uriPath} is already associated with another external key store`;
    throw new KmsError('XksProxyUriInUseException', message);
  }
  const vpcEndpointServiceName = optionalString(parameters, 'XksProxyVpcEndpointServiceName') ?? null;
  return { connectivity, uriEndpoint, uriPath, accessKeyId, vpcEndpointServiceName };
}

const describeCustomKeyStores: Operation = (context, parameters) => {
  const { store, caller } = context;
  const id = optionalString(parameters, 'CustomKeyStoreId', { min: 1, max: 64 });
  const name = optionalString(parameters, 'CustomKeyStoreName', { min: 1, max: 256 });
  if (id !== undefined && name !== undefined) {
    throw validation('You can specify CustomKeyStoreId or CustomKeyStoreName, not both');
  }
  const wanted = (keyStore: StoredKeyStore) =>
    (id === undefined || keyStore.id === id) && (name === undefined || keyStore.name === name);
  if ((id !== undefined || name !== undefined) && !store.listKeyStores(caller, '', all).some(wanted)) {
    throw new KmsError('CustomKeyStoreNotFoundException', `Custom key store ${id ?? name} does not exist`);
  }
  const { items, page: rest } = page(
    parameters,
    { standard: 100, most: 1000 },
    (after, limit) => store.listKeyStores(caller, after, all).filter(wanted).slice(0, limit),
    (keyStore) => keyStore.id,
  );
  return { CustomKeyStores: items.map(entryOf), ...rest };
};

function entryOf({ id, name, type, isConnected, createdAt, cloudHsm, xksProxy }: StoredKeyStore): object {
  return {
    CustomKeyStoreId: id,
    CustomKeyStoreName: name,
    CustomKeyStoreType: type,
    ConnectionState: isConnected ? 'CONNECTED' : 'DISCONNECTED',
    CreationDate: inSeconds(createdAt),
    ...(cloudHsm === null
      ? {}
      : { CloudHsmClusterId: cloudHsm.clusterId, TrustAnchorCertificate: cloudHsm.trustAnchorCertificate }),
    ...(xksProxy === null ? {} : { XksProxyConfiguration: proxyConfiguration(xksProxy) }),
  };
}

function proxyConfiguration(proxy: NonNullable<StoredKeyStore['xksProxy']>): object {
  return {
    Connectivity: proxy.connectivity,
    AccessKeyId: proxy.accessKeyId,
    UriEndpoint: proxy.uriEndpoint,
    UriPath: proxy.uriPath,
    ...(proxy.vpcEndpointServiceName === null ? {} : { VpcEndpointServiceName: proxy.vpcEndpointServiceName }),
  };
}

const updateCustomKeyStore: Operation = (context, parameters) => {
  const keyStore = namedStore(context, parameters);
  const name = optionalString(parameters, 'NewCustomKeyStoreName', { min: 1, max: 256 });
  if (name !== undefined) assertNameIsFree(context, name, keyStore.id);
  const clusterId = optionalString(parameters, 'CloudHsmClusterId', { min: 19, max: 24 });
  const password = optionalString(parameters, 'KeyStorePassword', { min: 7, max: 32 });
  if ((clusterId !== undefined || password !== undefined) && keyStore.isConnected) {
    throw invalidStoreState(keyStore, 'DISCONNECTED');
  }
  const { cloudHsm } = keyStore;
  context.store.saveKeyStore({
    ...keyStore,
    name: name ?? keyStore.name,
    cloudHsm: cloudHsm === null ? null : { ...cloudHsm, clusterId: clusterId ?? cloudHsm.clusterId },
  });
  return emptyAnswer;
};

/** Connecting and disconnecting changes what the keys of the store can be used for. */
function switchStore(isConnected: boolean): Operation {
  return (context, parameters) => {
    const keyStore = namedStore(context, parameters);
    if (keyStore.isConnected === isConnected) {
      throw invalidStoreState(keyStore, isConnected ? 'DISCONNECTED' : 'CONNECTED');
    }
    const { store, caller } = context;
    store.transaction(() => {
      store.saveKeyStore({ ...keyStore, isConnected });
      for (const key of store.keysInStore(caller, keyStore.id)) store.saveKey({ ...key, unavailable: !isConnected });
    });
    return emptyAnswer;
  };
}

const deleteCustomKeyStore: Operation = (context, parameters) => {
  const keyStore = namedStore(context, parameters);
  if (context.store.keysInStore(context.caller, keyStore.id).length > 0) {
    throw new KmsError('CustomKeyStoreHasCMKsException', `Custom key store ${keyStore.id} contains KMS keys`);
  }
  if (keyStore.isConnected) throw invalidStoreState(keyStore, 'DISCONNECTED');
  context.store.removeKeyStore(keyStore);
  return emptyAnswer;
};

export const keyStoreOperations: Record<string, Operation> = {
  CreateCustomKeyStore: createCustomKeyStore,
  DescribeCustomKeyStores: describeCustomKeyStores,
  UpdateCustomKeyStore: updateCustomKeyStore,
  ConnectCustomKeyStore: switchStore(true),
  DisconnectCustomKeyStore: switchStore(false),
  DeleteCustomKeyStore: deleteCustomKeyStore,
};

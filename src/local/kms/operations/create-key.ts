/** CreateKey. Source: AWS KMS API reference, CreateKey. */
import { randomBytes } from 'node:crypto';
import { type KeySpec, type KeyUsage, keySpecs, keyUsages, usageFitsSpec } from '../../../domain/key-specs.ts';
import type { Context, Operation } from '../context.ts';
import { metadataOf } from '../describe.ts';
import { KmsError, limitExceeded, unsupported, validation } from '../errors.ts';
import { newKey } from '../new-key.ts';
import { optionalBoolean, optionalOneOf, optionalString, type Parameters, readDescription } from '../parameters.ts';
import { acceptPolicy } from '../policy.ts';
import type { StoredKey, StoredKeyStore } from '../store.ts';
import { findConnectedStore } from './key-stores.ts';
import { mergeTags, readTags } from './tags.ts';

const origins = ['AWS_KMS', 'EXTERNAL', 'AWS_CLOUDHSM', 'EXTERNAL_KEY_STORE'] as const;
type Origin = (typeof origins)[number];

/** Customer managed keys of one account and Region. */
const mostKeys = 100_000;

export const createKey: Operation = (context, parameters) => {
  const { caller, clock, store } = context;
  const spec = specOf(parameters);
  const usage = usageOf(parameters, spec);
  const origin = optionalOneOf(parameters, 'Origin', origins) ?? 'AWS_KMS';
  const multiRegion = optionalBoolean(parameters, 'MultiRegion') ?? false;
  const policy = optionalString(parameters, 'Policy', { min: 1, max: 131_072 });
  const bypass = optionalBoolean(parameters, 'BypassPolicyLockoutSafetyCheck') ?? false;
  const keyStore = storeFor(context, parameters, origin);
  if (keyStore !== undefined) assertStoreTakes({ spec, multiRegion });
  const xksKeyId = externalKeyFor(context, parameters, keyStore);
  if (store.countKeys(caller) >= mostKeys) throw limitExceeded(`The account has ${mostKeys} KMS keys already.`);
  const plain = newKey(caller, clock.now());
  const key: StoredKey = {
    ...plain,
    keyId: multiRegion ? `mrk-${randomBytes(16).toString('hex')}` : plain.keyId,
    description: readDescription(parameters) ?? '',
    usage,
    spec,
    origin,
    enabled: origin !== 'EXTERNAL',
    multiRegion,
    primaryRegion: multiRegion ? caller.region : null,
    policy: policy === undefined ? plain.policy : acceptPolicy(policy, caller, bypass),
    tags: mergeTags([], readTags(parameters)),
    customKeyStoreId: keyStore?.id ?? null,
    xksKeyId,
  };
  store.saveKey(key);
  return { KeyMetadata: metadataOf(context, key) };
};

function specOf(parameters: Parameters): KeySpec {
  const spec = optionalOneOf(parameters, 'KeySpec', keySpecs);
  const oldName = optionalOneOf(parameters, 'CustomerMasterKeySpec', keySpecs);
  if (spec !== undefined && oldName !== undefined) {
    throw validation(
      'You cannot specify KeySpec and CustomerMasterKeySpec in the same request. CustomerMasterKeySpec is deprecated.',
    );
  }
  return spec ?? oldName ?? 'SYMMETRIC_DEFAULT';
}

function usageOf(parameters: Parameters, spec: KeySpec): KeyUsage {
  const usage = optionalOneOf(parameters, 'KeyUsage', keyUsages);
  if (usage === undefined) {
    if (spec === 'SYMMETRIC_DEFAULT') return 'ENCRYPT_DECRYPT';
    throw validation('You must specify a KeyUsage value for all KMS keys except for symmetric encryption keys.');
  }
  if (!usageFitsSpec(usage, spec)) throw validation(`KeyUsage ${usage} is not compatible with KeySpec ${spec}`);
  return usage;
}

/** Origin and CustomKeyStoreId go together, and the store must be of that kind. */
function storeFor(context: Context, parameters: Parameters, origin: Origin): StoredKeyStore | undefined {
  const id = optionalString(parameters, 'CustomKeyStoreId', { min: 1, max: 64 });
  const isForStore = origin === 'AWS_CLOUDHSM' || origin === 'EXTERNAL_KEY_STORE';
  if (id === undefined) {
    if (isForStore) throw validation(`You must specify a CustomKeyStoreId for Origin ${origin}`);
    return undefined;
  }
  if (!isForStore) throw validation(`Origin ${origin} is not valid for a KMS key in a custom key store`);
  const store = findConnectedStore(context, id);
  if (store.type !== origin) throw validation(`Origin ${origin} is not valid for the custom key store ${id}`);
  return store;
}

function assertStoreTakes({ spec, multiRegion }: { spec: KeySpec; multiRegion: boolean }): void {
  if (spec !== 'SYMMETRIC_DEFAULT') {
    throw unsupported(`KeySpec ${spec} is not supported in a custom key store, only SYMMETRIC_DEFAULT is.`);
  }
  if (multiRegion) throw unsupported('Multi-Region keys are not supported in a custom key store.');
}

/**
 * No proxy is asked: an id that begins with `missing-` stands for an external key that it does not know, and one with
 * `unusable-` for a key of the wrong kind.
 */
function externalKeyFor(context: Context, parameters: Parameters, store: StoredKeyStore | undefined): string | null {
  const id = optionalString(parameters, 'XksKeyId', { min: 1, max: 128 });
  if (store?.type !== 'EXTERNAL_KEY_STORE') {
    if (id !== undefined) throw validation('XksKeyId is only valid for a KMS key in an external key store');
    return null;
  }
  if (id === undefined) throw validation('You must specify an XksKeyId for a KMS key in an external key store');
  if (id.startsWith('missing-')) {
    throw new KmsError('XksKeyNotFoundException', `The external key store proxy does not know the external key ${id}`);
  }
  if (id.startsWith('unusable-')) {
    const message = `The external key ${id} is no enabled AES-256 key for encryption and decryption`;
    throw new KmsError('XksKeyInvalidConfigurationException', message);
  }
  if (context.store.keysInStore(context.caller, store.id).some(({ xksKeyId }) => xksKeyId === id)) {
    const message = `The external key ${id} is already associated with another KMS key in the external key store`;
    throw new KmsError('XksKeyAlreadyInUseException', message);
  }
  return id;
}

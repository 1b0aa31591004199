/**
 * What this KMS does of cryptography, which needs no key material: random bytes and public keys. Everything else says where
 * to go. Source: AWS KMS API reference; the words of errors are our own.
 */
import { randomBytes } from 'node:crypto';
import { inSeconds } from '../clock.ts';
import type { Operation } from '../context.ts';
import { unsupported, validation } from '../errors.ts';
import { algorithms } from '../key-metadata.ts';
import { arnOf, assertEnabled, assertImported, assertNotPendingDeletion, findKey } from '../keys.ts';
import { optionalInteger, optionalString } from '../parameters.ts';
import { assertGrantTokens } from './grant-request.ts';
import { findConnectedStore, findStore } from './key-stores.ts';

const generateRandom: Operation = (context, parameters) => {
  const count = optionalInteger(parameters, 'NumberOfBytes', 1, 1024);
  if (count === undefined) throw validation('NumberOfBytes is required.');
  if (parameters['Recipient'] !== undefined) throw lacking('Recipient of GenerateRandom');
  const storeId = optionalString(parameters, 'CustomKeyStoreId', { min: 1, max: 64 });
  if (storeId !== undefined) {
    if (findStore(context, storeId).type === 'EXTERNAL_KEY_STORE') {
      throw unsupported('GenerateRandom is not supported in an external key store.');
    }
    findConnectedStore(context, storeId);
  }
  return { Plaintext: randomBytes(count).toString('base64') };
};

const getPublicKey: Operation = (context, parameters) => {
  assertGrantTokens(parameters);
  const key = findKey(context, parameters, { aliases: true });
  assertNotPendingDeletion(key);
  assertImported(key);
  assertEnabled(key);
  const der = context.store.publicKeys.of(key);
  if (der === undefined) throw unsupported(`${arnOf(key)} is not an asymmetric KMS key: it has no public key.`);
  const { spec, usage } = key;
  return {
    KeyId: arnOf(key),
    PublicKey: der.toString('base64'),
    CustomerMasterKeySpec: spec,
    KeySpec: spec,
    KeyUsage: usage,
    ...algorithms(key),
  };
};

/** No key was ever used here, and it is known since the key was made. */
const getKeyLastUsage: Operation = (context, parameters) => {
  const key = findKey(context, parameters);
  const made = inSeconds(key.createdAt);
  return { KeyId: key.keyId, KeyLastUsage: {}, KeyCreationDate: made, TrackingStartDate: made };
};

function lacking(what: string) {
  const where = 'docs/local-kms.md, "Cryptography", names emulators that do it';
  return unsupported(`The local KMS has no key material, and does not do ${what}; ${where}.`);
}

const withKeyMaterial = [
  'Decapsulate',
  'Decrypt',
  'DeleteImportedKeyMaterial',
  'DeriveSharedSecret',
  'Encapsulate',
  'Encrypt',
  'GenerateDataKey',
  'GenerateDataKeyPair',
  'GenerateDataKeyPairWithoutPlaintext',
  'GenerateDataKeyWithoutPlaintext',
  'GenerateMac',
  'GetParametersForImport',
  'ImportKeyMaterial',
  'ReEncrypt',
  'Sign',
  'Verify',
  'VerifyMac',
];

export const cryptographyOperations: Record<string, Operation> = {
  GenerateRandom: generateRandom,
  GetPublicKey: getPublicKey,
  GetKeyLastUsage: getKeyLastUsage,
  ...Object.fromEntries(
    withKeyMaterial.map((name): [string, Operation] => [
      name,
      () => {
        throw lacking(name);
      },
    ]),
  ),
};

/** KeyMetadata, member by member. Source: AWS KMS API reference, KeyMetadata. */
import { inSeconds } from './clock.ts';
import { arnOf, isPendingDeletion, keyArn } from './keys.ts';
import type { StoredKey } from './store.ts';

const rsaEncryption = ['RSAES_OAEP_SHA_1', 'RSAES_OAEP_SHA_256'];
const rsaSigning = [
  'RSASSA_PKCS1_V1_5_SHA_256',
  'RSASSA_PKCS1_V1_5_SHA_384',
  'RSASSA_PKCS1_V1_5_SHA_512',
  'RSASSA_PSS_SHA_256',
  'RSASSA_PSS_SHA_384',
  'RSASSA_PSS_SHA_512',
];

const encryption: Record<string, string[]> = {
  SYMMETRIC_DEFAULT: ['SYMMETRIC_DEFAULT'],
  RSA_2048: rsaEncryption,
  RSA_3072: rsaEncryption,
  RSA_4096: rsaEncryption,
  SM2: ['SM2PKE'],
};

const signing: Record<string, string[]> = {
  RSA_2048: rsaSigning,
  RSA_3072: rsaSigning,
  RSA_4096: rsaSigning,
  ECC_NIST_P256: ['ECDSA_SHA_256'],
  ECC_NIST_P384: ['ECDSA_SHA_384'],
  ECC_NIST_P521: ['ECDSA_SHA_512'],
  ECC_SECG_P256K1: ['ECDSA_SHA_256'],
  ECC_NIST_EDWARDS25519: ['ED25519_SHA_512', 'ED25519_PH_SHA_512'],
  ML_DSA_44: ['ML_DSA_SHAKE_256'],
  ML_DSA_65: ['ML_DSA_SHAKE_256'],
  ML_DSA_87: ['ML_DSA_SHAKE_256'],
  SM2: ['SM2DSA'],
};

/** The algorithms of a key, by its usage. */
export function algorithms({ spec, usage }: StoredKey): object {
  switch (usage) {
    case 'ENCRYPT_DECRYPT':
      return { EncryptionAlgorithms: encryption[spec] ?? [] };
    case 'SIGN_VERIFY':
      return { SigningAlgorithms: signing[spec] ?? [] };
    case 'GENERATE_VERIFY_MAC':
      return { MacAlgorithms: [spec.replace('HMAC_', 'HMAC_SHA_')] };
    case 'KEY_AGREEMENT':
      return { KeyAgreementAlgorithms: ['ECDH'] };
    case 'ENCAPSULATE_DECAPSULATE':
      return { EncapsulationAlgorithms: ['ML_KEM'] };
  }
}

/** KMS's KeyState of a key. */
export function keyState(key: StoredKey): string {
  if (key.windowAfterReplicas !== null) return 'PendingReplicaDeletion';
  if (isPendingDeletion(key)) return 'PendingDeletion';
  if (key.unavailable) return 'Unavailable';
  if (key.origin === 'EXTERNAL') return 'PendingImport';
  return key.enabled ? 'Enabled' : 'Disabled';
}

/** What KeyMetadata tells that the key's own row does not. */
export type Surroundings = { currentMaterialId: string; cloudHsmClusterId: string | undefined };

export function keyMetadata(key: StoredKey, { currentMaterialId, cloudHsmClusterId }: Surroundings): object {
  const isEnabled = keyState(key) === 'Enabled';
  return {
    AWSAccountId: key.account,
    Arn: arnOf(key),
    ...(cloudHsmClusterId === undefined ? {} : { CloudHsmClusterId: cloudHsmClusterId }),
    CreationDate: inSeconds(key.createdAt),
    ...(key.spec === 'SYMMETRIC_DEFAULT' && key.origin === 'AWS_KMS'
      ? { CurrentKeyMaterialId: currentMaterialId }
      : {}),
    ...(key.customKeyStoreId === null ? {} : { CustomKeyStoreId: key.customKeyStoreId }),
    CustomerMasterKeySpec: key.spec,
    ...(key.deletionAt === null ? {} : { DeletionDate: inSeconds(key.deletionAt) }),
    Description: key.description,
    Enabled: isEnabled,
    ...algorithms(key),
    KeyId: key.keyId,
    KeyManager: key.manager,
    KeySpec: key.spec,
    KeyState: keyState(key),
    KeyUsage: key.usage,
    MultiRegion: key.multiRegion,
    ...(key.primaryRegion === null
      ? {}
      : { MultiRegionConfiguration: multiRegionConfiguration(key, key.primaryRegion) }),
    Origin: key.origin,
    ...(key.windowAfterReplicas === null ? {} : { PendingDeletionWindowInDays: key.windowAfterReplicas }),
    ...(key.xksKeyId === null ? {} : { XksKeyConfiguration: { Id: key.xksKeyId } }),
  };
}

function multiRegionConfiguration(key: StoredKey, primaryRegion: string): object {
  const inRegion = (region: string) => ({ Arn: keyArn({ account: key.account, region }, key.keyId), Region: region });
  return {
    MultiRegionKeyType: key.region === primaryRegion ? 'PRIMARY' : 'REPLICA',
    PrimaryKey: inRegion(primaryRegion),
    ReplicaKeys: key.replicaRegions.map(inRegion),
  };
}

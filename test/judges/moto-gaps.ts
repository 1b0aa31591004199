/** What moto can't do, by the scenario that it fails, each with the reason. The run fails when one of them passes. */
export const motoGaps: Record<string, string> = {
  'create: ECC_NIST_EDWARDS25519 for SIGN_VERIFY': 'moto does not know the spec',
  'create: ML_DSA_44 for SIGN_VERIFY': 'moto does not know the spec',
  'create: ML_DSA_65 for SIGN_VERIFY': 'moto does not know the spec',
  'create: ML_DSA_87 for SIGN_VERIFY': 'moto does not know the spec',
  'create: ML_KEM_512 for ENCAPSULATE_DECAPSULATE': 'moto does not know the spec',
  'create: ML_KEM_768 for ENCAPSULATE_DECAPSULATE': 'moto does not know the spec',
  'create: ML_KEM_1024 for ENCAPSULATE_DECAPSULATE': 'moto does not know the spec',
  'create: a policy that locks its owner out is refused by KMS and leaves no record': 'moto has no lockout check',
  'update: rotation_period_in_days changes exactly that': 'moto forgets the rotation period',
  'update: a policy that KMS refuses takes the whole update back': 'moto refuses no policy of an existing key',
  'delete: a multi-Region primary with replicas waits for them, and status says so':
    'moto has no PendingReplicaDeletion',
  'import: 422 for an AWS managed key': 'moto says that the key of an AWS service is a customer managed one',
  'drift: rotation_period_in_days outside; refresh shows it, sync repairs it': 'moto forgets the rotation period',
  'key stores: a key in an AWS CloudHSM key store': 'moto has no custom key stores',
  'key stores: a key in an external key store, and its external key a second time': 'moto has no custom key stores',
  'key stores: an unknown store': 'moto has no custom key stores, and takes any id for one',
  'key stores: a disconnected store': 'moto has no custom key stores',
  'key stores: a key is Unavailable while its store is disconnected, and well when it is back':
    'moto has no custom key stores',
};

/** A key of the usual kind, as it is seen, for tests of pure rules: what a test is about, it says itself. */
import type { ObservedKey } from '../../src/domain/types.ts';

/** What KMS fixes when a key is made. */
export const immutableArguments = {
  key_usage: 'ENCRYPT_DECRYPT',
  customer_master_key_spec: 'SYMMETRIC_DEFAULT',
  custom_key_store_id: null,
  xks_key_id: null,
  multi_region: false,
} as const;

export const usualKey: ObservedKey = {
  ...immutableArguments,
  arn: 'arn:aws:kms:us-east-1:111122223333:key/k',
  key_id: 'k',
  key_state: 'Enabled',
  enabled: true,
  origin: 'AWS_KMS',
  description: '',
  policy: {},
  rotation: { enabled: false, period_in_days: null },
  tags: { 'keyward:id': 'x' },
  deletion_date: null,
};
